"""The certificate that listeners present, and which senders may connect."""

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.widget import Widget
from textual.widgets import Static

from appliance.config.problems import Problem
from appliance.errors import ApplianceError
from tui.widgets.item import ChoiceItem, Item, SecretItem, TextItem
from tui.wizard.listeners import wants_tls
from tui.wizard.page import Page

_FILE = "certificate.file"  # no key of the configuration: what is imported is kept by the appliance


class TlsPage(Page):
    NAME: ClassVar[str] = "tls"
    TITLE: ClassVar[str] = "Certificates"
    INTRO: ClassVar[str] = "How this machine proves its identity to senders, and which senders may connect."
    HELP: ClassVar[str] = """
own        An authority and a certificate are made for this machine, and renewed in time.
           Senders have to trust that authority: `appliance tls export-ca` prints it, and
           the dashboard shows it: D, CA certificate for TLS senders.
import     A certificate with its key and chain from your own authority, in one file: PEM
           or PKCS #12. It is checked now, and refused with the reason when it would not
           work: wrong key, expired, for another purpose, a gap in its chain.

Senders    anyone; or only those with a certificate of the authority; or only certain
           names. `appliance tls issue-client NAME` makes a certificate for a sender.
"""

    def __init__(self) -> None:
        super().__init__()
        self.imported = ""
        self.refusal: Problem | None = None

    def questions(self) -> Iterable[Widget]:
        answers = self.state.answers
        if not wants_tls(answers):
            yield Static("No listener uses TLS, so there is nothing to choose here.", classes="text", markup=False)
            return
        kinds = [("own", "made by this machine"), ("import", "imported from a file")]
        yield ChoiceItem("", "Certificate", kinds, "own", id="kind", hint="Left and Right choose")
        yield TextItem(
            _FILE, "  File", "", id="file", placeholder="/root/forwarder.pfx", when=lambda a: self.importing,
            hint="on this machine: certificate, key and chain in one file, PEM or PKCS #12",
        )  # fmt: skip
        yield SecretItem(
            "certificate.password", "  Password of file", kept=False, id="pfx", when=lambda a: self.importing,
            hint="empty if it has none",
        )  # fmt: skip
        first = "tls" if answers.get("listeners.tls") is not None else "relp_tls"
        where = f"listeners.{first}.tls"
        senders = [("none", "anyone"), ("ca", "with certificate"), ("names", "certain names")]
        yield ChoiceItem(
            f"{where}.client_certificates", "Senders", senders,
            answers.get(f"{where}.client_certificates") or "none", id="senders", gap=True,
            hint="which senders may connect over TLS",
        )  # fmt: skip
        yield TextItem(
            f"{where}.permitted_names", "  Names", answers.get(f"{where}.permitted_names"), many=True, id="names",
            when=lambda a: a.get(f"{where}.client_certificates") == "names", placeholder="*.example.org",
            hint="names in their certificates, with commas between; * matches one label",
        )  # fmt: skip

    @property
    def importing(self) -> bool:
        kinds = self.query("#kind")
        return bool(kinds) and self.query_one("#kind", ChoiceItem).value == "import"

    def answered(self, item: Item, value: Any) -> None:
        self.refusal = None
        if item.id not in ("senders", "names"):
            return
        key = "client_certificates" if item.id == "senders" else "permitted_names"
        for name in ("tls", "relp_tls"):
            if self.state.answers.get(f"listeners.{name}") is not None:
                self.state.answers.put(f"listeners.{name}.tls.{key}", None if value == "none" else value)
                if key == "client_certificates" and value != "names":
                    self.state.answers.put(f"listeners.{name}.tls.permitted_names", None)

    def extra_problems(self) -> list[Problem]:
        if not self.importing:
            return []
        if not self.query_one("#file", TextItem).value.strip():
            return [Problem(_FILE, "name the file", "the full path, such as /root/forwarder.pfx")]
        return [self.refusal] if self.refusal else []

    def leave(self) -> None:
        if not self.importing:
            return
        file, password = self.query_one("#file", TextItem), self.query_one("#pfx", SecretItem)
        try:
            self.imported = self.state.machine.import_certificate(file.value.strip(), password.value)
        except ApplianceError as error:
            self.refusal = Problem(_FILE, error.message, error.hint)
            self.review_answers(everything=True)
            raise ApplianceError("The certificate was refused", hint="the reason is shown beside it") from None
