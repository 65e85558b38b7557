"""The addresses that this machine has now, as the kernel says."""

import json

from appliance.host.runner import Runner, run


def own_addresses(runner: Runner = run) -> list[str]:
    """Return the global addresses, IPv4 first; temporary IPv6 ones are left out. Empty when there are none."""
    answer = runner(["ip", "-json", "address", "show", "scope", "global"], timeout=5)
    try:
        links = json.loads(answer.out) if answer.ok and answer.out.strip() else []
    except ValueError:
        return []
    found = [
        (info.get("family") == "inet6", info["local"])
        for link in links
        for info in link.get("addr_info", [])
        if "local" in info and not info.get("temporary") and not info.get("deprecated")
    ]
    return [address for _, address in sorted(found)]
