"""The lines to paste into each kind of device, for reading; what they are is `appliance.sources`."""

from textual import work
from textual.app import ComposeResult
from textual.widgets import Static

from appliance.config.load import load
from appliance.config.model import Config
from appliance.errors import ApplianceError
from appliance.host.system.ports import open_ports
from appliance.sources.forwarder import forwarder
from appliance.sources.recipe import fill_in
from appliance.sources.register import kinds
from appliance.sources.render import as_text
from tui.widgets.bars import Body, KeyBar, TitleBar
from tui.widgets.dialog import Pager
from tui.widgets.entry import PushButton
from tui.widgets.menu import Menu

_AUTHORITY = "authority"
_WORDS = {
    "listeners.udp": "syslog", "listeners.tcp": "syslog", "listeners.tls": "syslog over TLS",
    "listeners.relp": "RELP", "listeners.relp_tls": "RELP over TLS", "relay.listen.push": "Loki push API",
}  # fmt: skip


def summary(config: Config, address: str) -> str:
    """Return each open listener in a line."""
    rows = [
        f"  {address}  {port.protocol.upper()} port {port.port:<6}{_WORDS[port.name]}"
        for port in open_ports(config)
        if port.name in _WORDS
    ]
    return "\n".join(rows) or "  Nothing listens yet: switch listeners on in the settings."


def titles() -> dict[str, str]:
    """Return what can be shown, by name: our authority's certificate, and each kind of sender."""
    return {_AUTHORITY: "CA certificate for TLS senders"} | {kind.name: kind.title for kind in kinds().values()}


def _certificate(text: str) -> str:
    """Return the PEM block of a text, empty when it has none."""
    begin, end = text.find("-----BEGIN CERTIFICATE"), text.find("-----END CERTIFICATE-----")
    return text[begin : end + len("-----END CERTIFICATE-----")] + "\n" if 0 <= begin < end else ""


class DeviceList(Menu):
    """Kinds of devices; Enter shows the lines for one."""

    def compose(self) -> ComposeResult:
        yield TitleBar("Devices", "what to set on them")
        with Body(id="body"):
            yield Static("", id="open", classes="text", markup=False)
            yield Static("", classes="gap")
            for name, title in titles().items():
                yield PushButton(f"{title:34}", id=f"device-{name}")
        yield KeyBar([("Up Down", "choose"), ("Enter", "show"), ("Esc", "back")])

    def on_mount(self) -> None:
        self.recipes: dict[str, str] = {}
        self._make()

    @work(thread=True)
    def _make(self) -> None:
        machine = self.app.state.machine
        try:
            config = load(machine.config_path)
        except ApplianceError as error:
            self.app.call_from_thread(self._made, f"{error.message}: {error.hint}", {})
            return
        addresses = list(machine.facts().addresses)
        authority = machine.authority()
        at = forwarder(config, addresses, _certificate(authority))
        recipes = {name: as_text(fill_in(kind, at)) for name, kind in kinds().items()}
        recipes[_AUTHORITY] = authority
        self.app.call_from_thread(self._made, summary(config, at.address), recipes)

    def _made(self, text: str, recipes: dict[str, str]) -> None:
        if self.is_running:
            self.recipes = recipes
            self.query_one("#open", Static).update(text)

    def on_push_button_pressed(self, event: PushButton.Pressed) -> None:
        name = (event.button.id or "").removeprefix("device-")
        if name in self.recipes:
            self.app.push_screen(Pager(titles()[name], self.recipes[name]))
