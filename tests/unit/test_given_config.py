"""What a machine was given: appliance.yaml or user-data, completed with what the machine already is."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

SCRIPT = Path(__file__).parents[2] / "image/elements/forwarder/files/usr/lib/appliance/given-config"
CONFIG = "# ours\nloki: {url: 'http://loki:3100/loki/api/v1/push'}\n"
# As cloud-init 22.4 writes it for a network-config of version 1 with a static address.
STATIC = """[Match]
MACAddress=52:54:00:12:34:56
Name=ens3

[Network]
DHCP=no
DNS=192.0.2.53 192.0.2.54
Domains=example.org

[Address]
Address=192.0.2.10/24

[Address]
Address=2001:db8::10/64

[Route]
Gateway=192.0.2.1
"""


class Root:
    """A root directory with what the machine is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = path / "given.yaml"
        (path / "etc/appliance").mkdir(parents=True)
        self.put("etc/hostname", "forwarder\n")
        self.put("etc/default/keyboard", 'XKBLAYOUT="us"\nXKBVARIANT=""\n')

    def put(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def user_data(self, data: object) -> None:
        self.put("var/lib/cloud/instance/cloud-config.txt", "#cloud-config\n" + yaml.safe_dump(data))

    def given(self) -> str:
        """What is to be applied; empty when nothing is."""
        self.target.unlink(missing_ok=True)
        self._run(str(self.target))
        return self.target.read_text() if self.target.exists() else ""

    def taken(self) -> None:
        self._run("--taken")

    def _run(self, word: str) -> None:
        subprocess.run([sys.executable, str(SCRIPT), "--root", str(self.path), word], check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def parsed(text: str) -> Any:
    return yaml.safe_load(text)


def test_a_machine_that_was_given_nothing_gets_nothing(root: Root) -> None:
    assert root.given() == ""
    root.user_data({"hostname": "logs7"})
    assert root.given() == ""


@pytest.mark.parametrize("as_text", [False, True])
def test_the_configuration_in_user_data_is_taken_once(root: Root, as_text: bool) -> None:
    root.user_data({"appliance": CONFIG if as_text else parsed(CONFIG)})
    assert parsed(root.given()) == parsed(CONFIG)
    assert parsed(root.given()) == parsed(CONFIG), "until it is active"
    root.taken()
    assert root.given() == "", "what an operator changed since is left alone"
    root.user_data({"appliance": {**parsed(CONFIG), "listeners": {"udp": {}}}})
    assert parsed(root.given())["listeners"] == {"udp": {}}, "new user-data"


def test_a_baked_in_file_is_taken_as_it_is_written(root: Root) -> None:
    root.put("etc/appliance/appliance.yaml", CONFIG)
    assert root.given() == CONFIG
    root.put("etc/appliance/relay.yaml", "rendered")
    assert root.given() == ""


def test_a_host_name_of_cloud_init_stays_unless_the_configuration_sets_one(root: Root) -> None:
    root.put("etc/hostname", "logs7.example.org\n")
    root.put("etc/appliance/appliance.yaml", CONFIG)
    assert parsed(root.given())["system"] == {"hostname": "logs7.example.org"}
    assert root.given().startswith("# ours"), "comments stay"
    root.put("etc/appliance/appliance.yaml", CONFIG + "system: {hostname: other}\n")
    assert parsed(root.given())["system"] == {"hostname": "other"}
    root.put("etc/appliance/appliance.yaml", CONFIG + "system: {timezone: Europe/Paris}\n")
    assert parsed(root.given())["system"] == {"timezone": "Europe/Paris", "hostname": "logs7.example.org"}


def test_a_static_network_of_cloud_init_stays_unless_the_configuration_sets_one(root: Root) -> None:
    root.put("etc/systemd/network/10-cloud-init-ens3.network", STATIC)
    root.user_data({"appliance": parsed(CONFIG)})
    assert parsed(root.given())["system"]["network"] == {
        "ipv4": {"method": "static", "address": "192.0.2.10/24", "gateway": "192.0.2.1"},
        "ipv6": {"method": "static", "address": "2001:db8::10/64"},
        "dns": ["192.0.2.53", "192.0.2.54"],
        "search": ["example.org"],
    }
    own = {"ipv4": {"method": "dhcp"}}
    root.user_data({"appliance": {**parsed(CONFIG), "system": {"network": own}}})
    assert parsed(root.given())["system"]["network"] == own


def test_dhcp_by_cloud_init_is_nothing_to_keep(root: Root) -> None:
    root.put("etc/systemd/network/10-cloud-init-ens3.network", "[Match]\nName=ens3\n\n[Network]\nDHCP=ipv4\n")
    root.put("etc/appliance/appliance.yaml", CONFIG)
    assert root.given() == CONFIG


def test_the_keyboard_the_image_was_built_with_stays(root: Root) -> None:
    root.put("etc/default/keyboard", 'XKBLAYOUT="de"\nXKBVARIANT="nodeadkeys"\n')
    root.put("etc/appliance/appliance.yaml", CONFIG)
    assert parsed(root.given())["system"] == {"keyboard": {"layout": "de", "variant": "nodeadkeys"}}


def test_keys_of_user_data_open_ssh_unless_the_configuration_speaks_of_access(root: Root) -> None:
    keys = ["ssh-ed25519 AAAA someone"]
    root.user_data({"appliance": parsed(CONFIG), "ssh_authorized_keys": keys})
    assert parsed(root.given())["access"] == {"ssh": True, "ssh_keys": keys}
    root.user_data({"appliance": {**parsed(CONFIG), "access": {"ssh": False}}, "ssh_authorized_keys": keys})
    assert parsed(root.given())["access"] == {"ssh": False}


@pytest.mark.parametrize("text", ["loki: [", "- a list\n", "system: word\nloki: {}\n"])
def test_what_cannot_be_understood_is_left_to_be_refused(root: Root, text: str) -> None:
    root.put("etc/hostname", "logs7\n")
    root.put("etc/appliance/appliance.yaml", text)
    assert root.given() == text
