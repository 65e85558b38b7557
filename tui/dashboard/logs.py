"""Logs of the machine's own services: choose one, read its last lines."""

from textual import work
from textual.app import ComposeResult

from tui.widgets.bars import Body, KeyBar, TitleBar
from tui.widgets.dialog import Pager
from tui.widgets.entry import PushButton
from tui.widgets.menu import Menu

_UNITS = {
    "relay": ("appliance-relay.service", "Relay"),
    "receiver": ("appliance-receiver.service", "Receiver"),
    "rsyslog": ("rsyslog.service", "rsyslog"),
    "time": ("chrony.service", "Time"),
    "network": ("systemd-networkd.service", "Network"),
    "ssh": ("ssh.service", "SSH"),
    "updates": ("apt-daily-upgrade.service", "Updates"),
    "all": ("", "Everything"),
}


class LogList(Menu):
    def compose(self) -> ComposeResult:
        yield TitleBar("Logs", "of this machine itself")
        with Body(id="body"):
            for name, (_, title) in _UNITS.items():
                yield PushButton(f"{title:12}", id=f"unit-{name}")
        yield KeyBar([("Up Down", "choose"), ("Enter", "show"), ("Esc", "back")])

    def on_push_button_pressed(self, event: PushButton.Pressed) -> None:
        unit, title = _UNITS[(event.button.id or "").removeprefix("unit-")]
        pager = Pager(f"Logs: {title}", "reading ...", at_end=True)
        self.app.push_screen(pager)
        self._read(unit, pager)

    @work(thread=True, exclusive=True)
    def _read(self, unit: str, pager: Pager) -> None:
        text = self.app.state.machine.journal(unit)

        def show() -> None:
            if pager.is_running:
                pager.show(text or "nothing was logged")

        self.app.call_from_thread(show)
