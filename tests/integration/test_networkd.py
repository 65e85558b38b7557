"""The .network files, read by the real systemd-networkd in a network namespace of its own."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.config.load import parse
from appliance.host.system.render import Secrets, render
from appliance.host.tree import File

NETWORKD = "/lib/systemd/systemd-networkd"
SCRIPT = """
set -e
mount --make-rprivate /
mount -t sysfs -o ro sysfs /sys     # as in a container: no udev to wait for
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/systemd/network
cp "$FILES"/* /etc/systemd/network/
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network: /run/systemd/netif
ip link set lo up
ip link add v0 type veth peer name v1
ip link set v1 up
SYSTEMD_LOG_LEVEL=info timeout 20 %(networkd)s >/run/log 2>&1 &
networkd=$!
for _ in $(seq 60); do
    if [ -n "$UNTIL" ] && ip address show v0 | grep -q "$UNTIL"; then break; fi
    if [ -z "$UNTIL" ] && grep -q 'v0: Link UP\\|v0: Failed' /run/log; then break; fi
    sleep 0.1
done
sleep 0.3
echo "== log"; cat /run/log
echo "== addresses"; ip -oneline address show v0; ip link show v0
echo "== routes"; ip route; ip -6 route
kill $networkd
"""


def networkd(network: str, directory: Path, until: str = "") -> dict[str, str]:
    """Render the configuration, let networkd read it, and return its log, addresses and routes."""
    text = f"loki: {{url: 'http://x/loki/api/v1/push'}}\nsystem: {{network: {{interface: v0, {network}}}}}\n"
    tree = render(parse(text).config, text, secrets=Secrets(), rsyslog=lambda config: "")
    files = directory / "network"
    files.mkdir()
    for path, entry in tree.items():
        if path.startswith("/etc/systemd/network/") and isinstance(entry, File):
            (files / Path(path).name).write_bytes(entry.content)
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", SCRIPT % {"networkd": NETWORKD}],
        capture_output=True, text=True, timeout=60, env={**os.environ, "FILES": str(files), "UNTIL": until},
    )  # fmt: skip
    parts = done.stdout.split("== ")
    assert len(parts) == 4, f"{done.stdout}\n{done.stderr}"
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts[1:]}


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if os.geteuid() != 0 or not Path(NETWORKD).exists() or shutil.which("unshare") is None:
        pytest.skip("needs root, systemd-networkd and unshare")
    probe = subprocess.run(
        ["unshare", "--mount", "--net", "ip", "link", "add", "v0", "type", "veth"], capture_output=True
    )
    if probe.returncode:
        pytest.skip(f"this kernel makes no network namespaces with veth: {probe.stderr.decode()}")


def complaints(log: str) -> list[str]:
    """What networkd says of a file that it does not wholly understand."""
    words = ("Unknown", "nvalid", "ignoring", "Failed to parse", "not a valid")
    return [line for line in log.splitlines() if any(word in line for word in words) and "device type" not in line]


def test_static_addresses_routes_and_mtu_are_what_networkd_makes_of_them(tmp_path: Path) -> None:
    found = networkd(
        "mtu: 1400, ipv4: {method: static, address: 192.0.2.5/24, gateway: 192.0.2.1},"
        " ipv6: {method: static, address: '2001:db8::5/64', gateway: 'fe80::1'},"
        " dns: [192.0.2.53], search: [example.org]",
        tmp_path,
        until="2001:db8::5",
    )
    assert complaints(found["log"]) == []
    assert "192.0.2.5/24" in found["addresses"] and "2001:db8::5/64" in found["addresses"]
    assert "mtu 1400" in found["addresses"]
    assert "default via 192.0.2.1 dev v0" in found["routes"] and "default via fe80::1 dev v0" in found["routes"]


V4 = ("ipv4: {method: dhcp}", "ipv4: {method: static, address: 192.0.2.5/24}", "ipv4: {method: off}")
V6 = ("ipv6: {method: auto}", "ipv6: {method: off}")
MORE = ("", ", vlan: 12, mtu: 1400, dns: ['2001:db8::53'], search: [a.example.org, b.example.org]")


@pytest.mark.parametrize(
    "network",
    [f"{v4}, {v6}{more}" for v4, v6, more in itertools.product(V4, V6, MORE) if "off" not in v4 or "auto" in v6],
)
def test_networkd_understands_every_line_of_every_kind_of_file(network: str, tmp_path: Path) -> None:
    found = networkd(network, tmp_path)
    assert "v0: Configuring with /etc/systemd/network/10-appliance.network" in found["log"]
    assert complaints(found["log"]) == []


def test_a_line_that_networkd_does_not_know_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import appliance.host.system.render as rendering

    real = rendering._file
    monkeypatch.setattr(
        rendering, "_file",
        lambda name, *a, **k: File(real(name, *a, **k).content.replace(b"Address=", b"Adress=")),
    )  # fmt: skip
    assert complaints(networkd("ipv4: {method: static, address: 192.0.2.5/24}", tmp_path)["log"])
