"""Who may log in to the machine: password, SSH keys, console lock."""

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.widget import Widget

from appliance.config.problems import Problem
from tui.widgets.item import Item, SecretItem, TextItem, TickItem
from tui.wizard.page import Page

_PASSWORD, _AGAIN, _KEYS = "access.password_file", "password.again", "access.ssh_keys"
SHORTEST = 10


class Administrator(Page):
    NAME: ClassVar[str] = "administrator"
    TITLE: ClassVar[str] = "Administrator"
    INTRO: ClassVar[str] = "Who may log in to this machine, and change things at this console."
    HELP: ClassVar[str] = """
The administrator logs in over SSH and may use sudo; root itself cannot log in.
With an SSH key, SSH accepts no password: the password is for this console and for sudo.

SSH key        the one line of a .pub file, such as ssh-ed25519 AAAA... name. Typing one is
               tedious: paste it over a serial line or the hypervisor's console.
Console lock   if on, this console shows everything but asks for the password before
               anything is changed, and before it gives a shell.
"""

    def questions(self) -> Iterable[Widget]:
        get = self.state.answers.get
        keys = [*(get(_KEYS) or []), "", ""]
        kept = get(_PASSWORD) is not None
        yield TextItem(
            "access.administrator", "Login name", get("access.administrator"), placeholder="admin", room="name",
            hint="lower-case letters and digits",
        )  # fmt: skip
        yield SecretItem(_PASSWORD, "Password", kept=kept, id="password", hint=f"{SHORTEST} characters or more")
        yield SecretItem(_AGAIN, "Password again", kept=False, id="again", hint="repeat the password")
        on = str(get("access.ssh")).lower() == "true"
        yield TickItem("access.ssh", "SSH", "the administrator may log in over SSH", on, gap=True)
        yield TextItem(f"{_KEYS}[0]", "SSH key", keys[0], id="key-0", hint="the line of a .pub file; empty: none")
        yield TextItem(f"{_KEYS}[1]", "Another key", keys[1], id="key-1", hint="the line of a .pub file; empty: none")
        locked = str(get("access.console_lock")).lower() == "true"
        yield TickItem("access.console_lock", "Console lock", "ask for the password before changes", locked, gap=True)

    def answered(self, item: Item, value: Any) -> None:
        if isinstance(item, SecretItem):
            return
        if item.path.startswith(_KEYS):
            typed = [one.read(one.value) for one in (self.query_one(f"#key-{n}", TextItem) for n in (0, 1))]
            more = (self.state.answers.get(_KEYS) or [])[2:]
            self.state.answers.put(_KEYS, [key for key in [*typed, *more] if key] or None)
        elif isinstance(item, TickItem):
            self.state.answers.put(item.path, True if value else None)
        else:
            super().answered(item, value)

    def extra_problems(self) -> list[Problem]:
        password, again = (self.query_one(f"#{name}", SecretItem) for name in ("password", "again"))
        found = []
        if password.value and len(password.value) < SHORTEST:
            found.append(Problem(f"typed {_PASSWORD}", "too short", f"{SHORTEST} characters or more"))
        if password.value != again.value and (again.touched or not again.value):
            found.append(Problem(f"typed {_AGAIN}", "not the same as above", "type it again"))
        if not password.value and not self.state.answers.get(_PASSWORD) and not self.state.answers.get(_KEYS):
            found.append(Problem(f"typed {_PASSWORD}", "nobody could log in", "set a password, or an SSH key below"))
        return found

    def waived(self, problem: Problem) -> bool:
        # A password that is typed is kept when the page is left: then there is one.
        missed = ("access.console_lock", "access.ssh")
        return problem.path in missed and bool(self.query_one("#password", SecretItem).value)

    def leave(self) -> None:
        password = self.query_one("#password", SecretItem)
        if not password.value:
            return
        machine = self.state.machine
        kept = machine.write_secret("administrator", machine.hash_password(password.value))
        self.state.answers.put(_PASSWORD, kept)
        password.keep()
        self.query_one("#again", SecretItem).keep()
