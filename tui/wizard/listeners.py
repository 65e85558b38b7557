"""What this machine listens on: one checkbox and one port for each protocol."""

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.widget import Widget

from appliance.config.problems import Problem
from tui.answers import Answers
from tui.widgets.item import Item, TextItem, TickItem
from tui.wizard.page import Page

_PUSH = "relay.listen.push"
_WAYS = (
    ("udp", "UDP", "syslog; every device supports it", 514),
    ("tcp", "TCP", "syslog; lines are not lost on a busy network", 514),
    ("tls", "TLS", "syslog, encrypted", 6514),
    ("relp", "RELP", "other rsyslog instances; every line acknowledged", 2514),
    ("relp_tls", "RELP over TLS", "the same, encrypted", 2515),
)  # fmt: skip


def _on(name: str) -> Any:
    return lambda answers: answers.get(f"listeners.{name}") is not None


def wants_tls(answers: Answers) -> bool:
    """Return whether a listener needs a certificate."""
    return any(answers.get(f"listeners.{name}") is not None for name in ("tls", "relp_tls"))


class ListenersPage(Page):
    NAME: ClassVar[str] = "listeners"
    TITLE: ClassVar[str] = "Listeners"
    INTRO: ClassVar[str] = "How devices send their logs to this machine."
    HELP: ClassVar[str] = """
UDP and TCP   what routers, switches, hypervisors and storage send. Prefer TCP where the
              device offers it: UDP loses lines when a network is busy, and nobody notices.
TLS           for senders outside your own network. A certificate is made for you.
RELP          for Linux machines with rsyslog: nothing is lost when either side restarts.
Push API      Loki's own: for Promtail, Alloy, Fluent Bit and Vector, from Kubernetes too.

The firewall of this machine opens exactly the ports that are on here.
"""

    def questions(self) -> Iterable[Widget]:
        get = self.state.answers.get
        for name, label, words, port in _WAYS:
            path = f"listeners.{name}"
            hint = "TLS needs a certificate: that is the next page" if name.endswith("tls") else ""
            yield TickItem(path, label, words, get(path) is not None, hint=hint)
            yield TextItem(
                f"{path}.port", "  Port", get(f"{path}.port"), placeholder=str(port), when=_on(name), room="number",
                hint=f"1 to 65535; empty: {port}",
            )  # fmt: skip
        yield TickItem(_PUSH, "Loki push API", "Promtail, Alloy, Fluent Bit, Vector", get(_PUSH) is not None)
        yield TextItem(
            _PUSH, "  Address and port", get(_PUSH), placeholder="0.0.0.0:3500", id="push", room="name",
            when=lambda answers: answers.get(_PUSH) is not None, hint="0.0.0.0:3500 is every address, port 3500",
        )  # fmt: skip
        own = str(get("listeners.journal")).lower() != "false"
        yield TickItem("listeners.journal", "Own journal", "this machine's own log goes to Loki as well", own, gap=True)

    def answered(self, item: Item, value: Any) -> None:
        put = self.state.answers.put
        if item.path == "listeners.journal":
            put(item.path, None if value else False)
        elif item.path == _PUSH:
            push = self.query_one("#push", TextItem)
            if isinstance(item, TickItem):
                value = (push.read(push.value) or "0.0.0.0:3500") if value else None
            put(_PUSH, value or ("" if item is push else None))
            # The wizard knows no clients yet: `appliance token new` makes them, and says what to write here.
            put("relay.push.anyone", True if value and not self.state.answers.get("relay.push.clients") else None)
        elif isinstance(item, TickItem):
            port = next(one for one in self.query(TextItem) if one.path == f"{item.path}.port")
            typed = port.read(port.value)
            put(item.path, ({"port": typed} if typed else {}) if value else None)
        else:
            super().answered(item, value)

    def extra_problems(self) -> list[Problem]:
        get = self.state.answers.get
        if get(_PUSH) is None and all(get(f"listeners.{way[0]}") is None for way in _WAYS):
            hint = "switch on what your devices can send; UDP and TCP are usual"
            return [Problem("listeners.udp", "no device can send anything", hint, "off", severity="warning")]
        return []
