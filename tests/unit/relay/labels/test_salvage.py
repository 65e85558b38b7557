"""What the parser reads reaches labels and metadata as what the compiled path reads does."""

import pytest

from appliance.config import model
from tests.unit.relay.packing import BOTH, Modules, Packing, octets

pytestmark = pytest.mark.parametrize("modules", BOTH.values(), ids=BOTH.keys())
UNIFI = b"<30>Sep 21 14:13:19 AP f09fc2abcdef,U7-Pro-8.6.11+18870: hostapd[12]: associated"
CISCO = b"<189>45: rtr1: 000123: Sep 21 14:13:19 UTC: %LINK-3-UPDOWN: Interface up"


def test_a_recognized_device_is_named_in_the_metadata(modules: Modules) -> None:
    [entry] = Packing(modules).feed(octets(UNIFI)).entries()
    assert entry.labels == {"job": "syslog", "host": "AP", "application": "hostapd", "level": "info"}
    assert entry.metadata == {
        "facility": "daemon", "sender": "192.0.2.7", "process_id": "12", "vendor": "Ubiquiti", "product": "UniFi",
        "unifi_model": "U7-Pro", "unifi_mac": "f09fc2abcdef", "unifi_firmware": "8.6.11+18870",
    }  # fmt: skip


def test_a_device_known_by_its_program_is_named_too_and_once(modules: Modules) -> None:
    for raw in (
        b"<134>Sep 21 14:13:19 fw1 filterlog[12]: 5,,,",
        b"<134>Sep 21 14:13:19 filterlog[12]: 5,,,",
        b"<134>1 2026-09-21T14:13:19Z fw1 filterlog 12 - - 5,,,",
    ):
        packing = Packing(modules).feed(octets(raw))
        body = bytes(packing.packer.close()[0])
        assert body.count(b"vendor") == 1
        assert body.count(b"product") == 1


def test_devices_can_be_left_out(modules: Modules) -> None:
    labels = model.Labels(metadata=model.Metadata(device=False, structured_data=False))
    for raw in (UNIFI, CISCO, b"<134>Sep 21 14:13:19 fw1 filterlog[12]: 5,,,"):
        [entry] = Packing(modules, labels).feed(octets(raw)).entries()
        assert not {"vendor", "product", "unifi_mac", "cisco_sequence"} & set(entry.metadata)


def test_rules_see_the_fields_of_each_message(modules: Modules) -> None:
    rules = [
        model.RelabelRule(source_labels=[f"__syslog_message_{name}"], target_label=name)
        for name in ("hostname", "app_name", "proc_id", "msg_id", "sd_cisco_sequence", "sd_unifi_mac")
    ]
    labels = model.Labels(relabel_configs=rules)
    other = CISCO.replace(b"000123", b"000124")
    entries = Packing(modules, labels).feed(octets(UNIFI, CISCO, other, CISCO)).entries()
    found = [(entry.labels.get("msg_id"), entry.labels.get("sd_cisco_sequence")) for entry in entries]
    assert sorted(found, key=str) == sorted(
        [(None, None), ("LINK-3-UPDOWN", "000123"), ("LINK-3-UPDOWN", "000123"), ("LINK-3-UPDOWN", "000124")], key=str
    )
    [access_point] = [entry for entry in entries if entry.labels["hostname"] == "AP"]
    assert access_point.labels["sd_unifi_mac"] == "f09fc2abcdef"
    assert access_point.labels["proc_id"] == "12"
