"""What is there to see of this machine's network before anything is set: interfaces and addresses."""

import json
from dataclasses import dataclass

from appliance.host.runner import Runner


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface as the kernel has it now."""

    name: str
    mac: str
    up: bool
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(self.addresses) or "no address"
        return f"{self.name}  {self.mac}  {shown if self.up else 'not connected'}"


def interfaces(runner: Runner) -> list[Interface]:
    """Return the Ethernet interfaces, loopback and virtual ones left out."""
    answer = runner(["ip", "-json", "address", "show"], timeout=5)
    try:
        links = json.loads(answer.out) if answer.ok and answer.out.strip() else []
    except ValueError:
        return []
    return [
        Interface(
            name=str(link.get("ifname", "?")),
            mac=str(link.get("address", "")),
            up="LOWER_UP" in link.get("flags", []),
            addresses=tuple(
                f"{info['local']}/{info.get('prefixlen', '')}"
                for info in link.get("addr_info", [])
                if info.get("scope") == "global" and "local" in info
            ),
        )
        for link in links
        if link.get("link_type") == "ether"
    ]


def gateways(runner: Runner) -> list[str]:
    """Return the addresses of the default gateways."""
    found = []
    for family in ("-4", "-6"):
        words = runner(["ip", family, "route", "show", "default"], timeout=5).out.split()
        found += [words[index + 1] for index, word in enumerate(words[:-1]) if word == "via"]
    return list(dict.fromkeys(found))
