"""Name and addresses of this machine; shows what was found and tries it."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from textual import work
from textual.widget import Widget
from textual.widgets import Static

from appliance.errors import ApplianceError
from appliance.relay.probe.check import Finding
from tui.answers import Answers
from tui.widgets.item import ChoiceItem, Item, TextItem
from tui.wizard.page import Page

_V4 = "system.network.ipv4"
_V6 = "system.network.ipv6"


def _static4(answers: Answers) -> bool:
    return bool(answers.get(f"{_V4}.method") == "static")


def _static6(answers: Answers) -> bool:
    return bool(answers.get(f"{_V6}.method") == "static")


class Network(Page):
    NAME: ClassVar[str] = "network"
    TITLE: ClassVar[str] = "Network"
    INTRO: ClassVar[str] = "The name of this machine and its address, to which devices will send."
    TEST: ClassVar[str] = "Test"
    HELP: ClassVar[str] = """
A fixed address is best, since devices are configured with it: choose static,
or let the DHCP server always give the same one.

Address      with the length of its prefix: 192.0.2.10/24 (netmask 255.255.255.0 is /24).
Gateway      the router; empty if Loki and all devices are in the same network.
DNS          addresses of name servers, with commas between; empty: from DHCP.
VLAN         only when the hypervisor hands this machine tagged frames.

Test looks at the network as it is now, and asks the gateway and name servers that you
entered. An address entered here takes effect only after Apply; a change of the network
made later from the dashboard reverts by itself after a minute unless you confirm it.
"""

    def questions(self) -> Iterable[Widget]:
        get = self.state.answers.get
        yield Static("looking for network cards ...", id="found", classes="text", markup=False)
        yield TextItem(
            "system.hostname", "Name", get("system.hostname"), placeholder="forwarder", gap=True, room="name",
            hint="letters, digits and hyphens, short or with its domain",
        )  # fmt: skip
        methods = [("dhcp", "DHCP"), ("static", "static"), ("off", "off")]
        yield ChoiceItem(f"{_V4}.method", "IPv4", methods, get(f"{_V4}.method") or "dhcp", hint="Left and Right choose")
        yield TextItem(
            f"{_V4}.address", "  Address", get(f"{_V4}.address"), placeholder="192.0.2.10/24", when=_static4,
            room="name", hint="with the prefix length: /24 is netmask 255.255.255.0",
        )  # fmt: skip
        yield TextItem(
            f"{_V4}.gateway", "  Gateway", get(f"{_V4}.gateway"), placeholder="192.0.2.1", when=_static4, room="name",
            hint="the router of this network",
        )  # fmt: skip
        methods = [("auto", "automatic"), ("static", "static"), ("off", "off")]
        yield ChoiceItem(
            f"{_V6}.method", "IPv6", methods, get(f"{_V6}.method") or "auto",
            hint="automatic: router advertisements, and DHCPv6 when they ask for it",
        )  # fmt: skip
        yield TextItem(
            f"{_V6}.address", "  Address", get(f"{_V6}.address"), placeholder="2001:db8::10/64", when=_static6,
            hint="with the prefix length, usually /64",
        )  # fmt: skip
        yield TextItem(
            f"{_V6}.gateway", "  Gateway", get(f"{_V6}.gateway"), placeholder="fe80::1", when=_static6,
            hint="the router; may be link-local",
        )  # fmt: skip
        yield TextItem(
            "system.network.dns", "DNS servers", get("system.network.dns"), many=True,
            hint="addresses, with commas between; empty: from DHCP",
        )  # fmt: skip
        yield TextItem(
            "system.network.search", "Search domains", get("system.network.search"), many=True,
            hint="search domains for short names; usually empty",
        )  # fmt: skip
        yield TextItem(
            "system.network.vlan", "VLAN", get("system.network.vlan"), room="number", hint="1 to 4094; empty: untagged"
        )
        yield TextItem(
            "system.network.mtu", "MTU", get("system.network.mtu"), room="number",
            hint="1280 to 9216 bytes; usually empty",
        )  # fmt: skip
        yield TextItem(
            "system.network.interface", "Interface", get("system.network.interface"), placeholder="any", room="name",
            hint="name or pattern, such as enX0; empty: any Ethernet card",
        )  # fmt: skip
        yield TextItem(
            "system.proxy", "HTTP proxy", get("system.proxy"),
            hint="for updates, such as http://proxy.example.org:3128; empty: none",
        )  # fmt: skip

    def on_mount(self) -> None:
        self._look()

    @work(thread=True, group="look")
    def _look(self) -> None:
        found = self.state.machine.interfaces()
        text = "\n".join(f"Found  {interface}" for interface in found) or "No network card was found."
        self.app.call_from_thread(self._looked, text)

    def _looked(self, text: str) -> None:
        if self.is_running:
            self.query_one("#found", Static).update(text)

    def answered(self, item: Item, value: Any) -> None:
        # What a method does not use goes: a stale address would be doubted.
        if item.path in (f"{_V4}.method", f"{_V6}.method"):
            family = item.path.rpartition(".")[0]
            if value != "static":
                self.state.answers.put(family, {"method": value})
                return
            for key in ("address", "gateway"):
                typed = next(i for i in self.query(TextItem) if i.path == f"{family}.{key}")
                self.state.answers.put(f"{family}.{key}", typed.read(typed.value))
        super().answered(item, value)

    def findings(self) -> Iterator[Finding]:
        config = self.state.answers.draft()
        if config is None:
            raise ApplianceError("not tested", hint="fix what is marked in red first")
        yield from self.state.machine.test_network(config)
