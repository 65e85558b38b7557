"""Where the logs go and with which credentials; tests it with lines of its own."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.widget import Widget

from appliance.errors import ApplianceError
from appliance.relay.probe.check import Finding
from tui.answers import URL_HINT, Answers
from tui.widgets.dialog import Dialog
from tui.widgets.item import ChoiceItem, Item, SecretItem, TextItem
from tui.wizard.page import Page

if TYPE_CHECKING:
    from appliance.host.tls.presented import Presented

_BASIC, _TOKEN = "loki.basic_auth", "loki.bearer_token_file"


def _https(answers: Answers) -> bool:
    return str(answers.get("loki.url") or "").lower().startswith("https:")


def authentication(answers: Answers) -> str:
    """Return basic, token or none."""
    if answers.get(_BASIC) is not None:
        return "basic"
    return "token" if answers.get(_TOKEN) is not None else "none"


def trust(answers: Answers) -> str:
    """Return file, none (not verified) or system."""
    if str(answers.get("loki.tls.insecure_skip_verify")).lower() == "true":
        return "none"
    return "file" if answers.get("loki.tls.ca_file") is not None else "system"


class LokiPage(Page):
    NAME: ClassVar[str] = "loki"
    TITLE: ClassVar[str] = "Loki"
    INTRO: ClassVar[str] = "The Loki that receives your logs. Test pushes a few lines and reads them back."
    TEST: ClassVar[str] = "Test"
    MORE_KEYS: ClassVar[list[tuple[str, str]]] = [("F6", "certificate")]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f6,ctrl+r", "certificate", show=False)]
    HELP: ClassVar[str] = """
Address       Loki's push URL. It nearly always ends with /loki/api/v1/push; the port of
              Loki itself is 3100, a proxy in front of it usually has https and no port.
Tenant        sent as X-Scope-OrgID. Empty unless your Loki has auth_enabled: true.
Log in        what Loki or the proxy before it requires: a name and password (basic), or a token.
              Secrets are kept in files that only the relay can read.
Authority     who signed the certificate of an https Loki: a public CA (system), or
              your own, whose PEM file is on this machine.
              F6 or Ctrl+R shows the certificate that this Loki has, such as a
              self-signed one; compare its fingerprint, and trust that one and no other.

Test goes step by step and says which one fails:
  name            Is the host's name known? If not, correct it or the DNS servers.
  connection      Does its port answer? If not, check the port and firewalls.
  TLS             Is its certificate trusted? If not, name its authority, or press F6.
  ready           Is it a Loki, and is it up? If not, check the address's path.
  authentication  Are tenant and credentials accepted? If not, correct them.
  push, read      Does it accept all lines? If not, see what it says of its limits.
The test writes a dozen lines with the label job="appliance-test".
"""

    def questions(self) -> Iterable[Widget]:
        answers = self.state.answers
        get = answers.get
        yield TextItem("loki.url", "Address", get("loki.url"), placeholder="https://", hint=URL_HINT)
        yield TextItem(
            "loki.tenant", "Tenant", get("loki.tenant"), room="name", hint="sent as X-Scope-OrgID; usually empty"
        )
        ways = [("none", "not needed"), ("basic", "name and password"), ("token", "token")]
        yield ChoiceItem("", "Log in", ways, authentication(answers), id="auth", gap=True, hint="Left and Right choose")
        yield TextItem(
            f"{_BASIC}.username", "  Name", get(f"{_BASIC}.username"), when=lambda a: authentication(a) == "basic",
            room="name", hint="the user name for HTTP basic authentication",
        )  # fmt: skip
        yield SecretItem(
            f"{_BASIC}.password_file", "  Password", kept=bool(get(f"{_BASIC}.password_file")), id="password",
            when=lambda a: authentication(a) == "basic",
        )  # fmt: skip
        yield SecretItem(
            _TOKEN, "  Token", kept=bool(get(_TOKEN)), id="token", when=lambda a: authentication(a) == "token"
        )
        known = [("system", "system's"), ("file", "own file"), ("none", "do not verify")]
        yield ChoiceItem("", "Authority", known, trust(answers), id="trust", when=_https, gap=True,
                         hint="who signed the certificate of Loki")  # fmt: skip
        yield TextItem(
            "loki.tls.ca_file", "  PEM file", get("loki.tls.ca_file"), placeholder="/etc/ssl/loki-ca.pem",
            when=lambda a: _https(a) and trust(a) == "file", hint="a file on this machine",
        )  # fmt: skip
        yield TextItem(
            "loki.tls.server_name", "  Name in certificate", get("loki.tls.server_name"), when=_https,
            hint="only when it is not the host of the address",
        )  # fmt: skip
        yield TextItem(
            "loki.proxy", "Proxy", get("loki.proxy"), hint="HTTP proxy on the way to Loki; usually empty", gap=True
        )

    def answered(self, item: Item, value: Any) -> None:
        put = self.state.answers.put
        if item.id == "auth":
            put(_BASIC, {"username": ""} if value == "basic" else None)
            put(_TOKEN, "" if value == "token" else None)
            for one in self.query(TextItem):
                if value == "basic" and one.path == f"{_BASIC}.username":
                    put(one.path, one.read(one.value) or "")
        elif item.id == "trust":
            put("loki.tls.insecure_skip_verify", True if value == "none" else None)
            typed = next(one for one in self.query(TextItem) if one.path == "loki.tls.ca_file")
            put("loki.tls.ca_file", (typed.read(typed.value) or "") if value == "file" else None)
        elif isinstance(item, SecretItem):
            pass  # kept when the page is left, or tried
        elif item.path in ("loki.url", "loki.tls.ca_file", f"{_BASIC}.username"):
            put(item.path, value or "")
        else:
            super().answered(item, value)

    def leave(self) -> None:
        """Give typed secrets files of their own."""
        way = authentication(self.state.answers)
        for id_, name, wanted in (("password", "loki-password", "basic"), ("token", "loki-token", "token")):
            item = self.query_one(f"#{id_}", SecretItem)
            if item.value and way == wanted:
                self.state.answers.put(item.path, self.state.machine.write_secret(name, item.value))
                item.keep()

    def before_test(self) -> None:
        self.leave()

    def findings(self) -> Iterator[Finding]:
        config = self.state.answers.draft()
        if config is None:
            raise ApplianceError("not tested", hint="another page has invalid answers: see the review")
        for finding in self.state.machine.test_loki(config.loki):
            if finding.step == "TLS" and finding.ok is False and "loki.tls.ca_file" in finding.remedy:
                finding = replace(finding, remedy="F6 shows the certificate: trust it there, or name its authority")
            yield finding

    # ---- a certificate that nobody else vouches for -----------------------------------------

    def action_certificate(self) -> None:
        """Show the certificate that Loki has, and ask whether it is to be trusted."""
        get = self.state.answers.get
        if not _https(self.state.answers) or get("loki.proxy"):
            self.say("Loki shows a certificate only over https and without a proxy in between.")
            return
        self.say("Asking Loki for its certificate ...")
        self._take(str(get("loki.url")), get("loki.tls.server_name"))

    @work(thread=True, exclusive=True, group="certificate")
    def _take(self, url: str, server_name: str | None) -> None:
        try:
            shown = self.state.machine.loki_certificate(url, server_name)
        except ApplianceError as error:
            self.app.call_from_thread(self._say_if_here, f"{error.message}: {error.hint}")
            return
        self.app.call_from_thread(self._ask, shown)

    def _say_if_here(self, text: str) -> None:
        if self.is_running:
            self.say(text)

    def _ask(self, shown: "Presented") -> None:
        if not self.is_running:
            return
        self.say("")

        def answered(agreed: bool | None) -> None:
            if agreed:
                self._trust(shown)

        self.app.push_screen(Dialog("Trust this certificate?", _words(shown), yes="Trust it", no="No"), answered)

    def _trust(self, shown: "Presented") -> None:
        put = self.state.answers.put
        try:
            path = self.state.machine.trust(shown)
        except ApplianceError as error:
            self.say(f"{error.message}: {error.hint}")
            return
        put("loki.tls.insecure_skip_verify", None)
        for key, value in (("ca_file", path), ("server_name", shown.server_name)):
            put(f"loki.tls.{key}", value)
            item = next(one for one in self.query(TextItem) if one.path == f"loki.tls.{key}")
            item.fill(value or "")
        self.query_one("#trust", ChoiceItem).choose("file")
        self.review_answers()
        self.say("It is now trusted. F5 tests with it.")


def _words(shown: "Presented") -> str:
    facts = shown.facts
    octets = facts.fingerprint.split(":")
    issuer = "itself" if facts.issuer == facts.subject else facts.issuer
    names = ", ".join(facts.names) or facts.subject
    return (
        f"{shown.place} shows this certificate.\n\n"
        f"For         {names}\nSigned by   {issuer}\nValid until {facts.not_after:%Y-%m-%d}\n"
        f"SHA-256     {':'.join(octets[:16])}\n            {':'.join(octets[16:])}\n\n"
        "Compare it on Loki's machine, with the file of its certificate:\n"
        "openssl x509 -noout -fingerprint -sha256 -in FILE"
    )
