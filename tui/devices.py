"""The lines to paste into each kind of device, for reading; what they are is `appliance.sources`."""

from textual import work
from textual.app import ComposeResult
from textual.widgets import Static

from appliance.config.load import load
from appliance.config.model import Config
from appliance.errors import ApplianceError
from appliance.host.system.ports import open_ports
from appliance.sources.devices import RECIPES
from appliance.sources.recipe import Recipe, forwarder
from tui.widgets.bars import Body, KeyBar, TitleBar
from tui.widgets.dialog import Pager
from tui.widgets.entry import PushButton
from tui.widgets.menu import Menu

_TITLES = {
    "vyos": "VyOS routers", "xcp-ng": "XCP-ng hosts", "truenas": "TrueNAS", "linux": "Linux machines",
    "kubernetes": "Kubernetes", "authority": "Our authority",
}  # fmt: skip
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


def as_text(recipe: Recipe) -> str:
    """Return a recipe for reading."""
    lines = [recipe.summary, ""]
    if recipe.missing:
        lines += ["Switch on first (settings, Listeners), here as it stands in appliance.yaml:"]
        lines += [f"    {line}" for line in recipe.missing] + [""]
    for variant in recipe.variants:
        lines += [variant.title, *(f"    {line}" for line in variant.lines)]
        lines += [variant.note] if variant.note else []
        lines += [""]
    return "\n".join([*lines, *recipe.notes])


class DeviceList(Menu):
    """Kinds of devices; Enter shows the lines for one."""

    def compose(self) -> ComposeResult:
        yield TitleBar("Devices", "what to tell them")
        with Body(id="body"):
            yield Static("", id="open", classes="text", markup=False)
            yield Static("", classes="gap")
            for name, title in _TITLES.items():
                yield PushButton(f"{title:16}", id=f"device-{name}")
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
        at = forwarder(config, addresses)
        recipes = {name: as_text(make(at)) for name, make in RECIPES.items()}
        recipes["authority"] = machine.authority()
        self.app.call_from_thread(self._made, summary(config, at.address), recipes)

    def _made(self, text: str, recipes: dict[str, str]) -> None:
        if self.is_running:
            self.recipes = recipes
            self.query_one("#open", Static).update(text)

    def on_push_button_pressed(self, event: PushButton.Pressed) -> None:
        name = (event.button.id or "").removeprefix("device-")
        if name in self.recipes:
            self.app.push_screen(Pager(_TITLES[name], self.recipes[name]))
