"""UniFi: whatever the firmware's generation, the host is a name or nothing, and the application the program."""

import pytest

from tests.unit.relay.parse.reading import BSD, LOCAL, check, reading


@pytest.mark.parametrize(
    ("header", "host", "application", "process", "device"),
    [
        (
            b'("U7PG2,f09fc2abcdef,v4.3.20.11298") hostapd:',
            b"-",
            b"hostapd",
            b"-",
            b'[unifi model="U7PG2" mac="f09fc2abcdef" firmware="4.3.20.11298"]',
        ),
        (
            b'AP-Hall ("U7PG2,f09fc2abcdef,v4.3.20") hostapd:',
            b"AP-Hall",
            b"hostapd",
            b"-",
            b'[unifi model="U7PG2" mac="f09fc2abcdef" firmware="4.3.20"]',
        ),
        (
            b"U7PG2,f09fc2abcdef,v4.0.66.10832: logread[5495]:",
            b"-",
            b"logread",
            b"5495",
            b'[unifi model="U7PG2" mac="f09fc2abcdef" firmware="4.0.66.10832"]',
        ),
        (
            b"f09fc2abcdef,v4.0.66.10832: logread[5495]:",
            b"-",
            b"logread",
            b"5495",
            b'[unifi mac="f09fc2abcdef" firmware="4.0.66.10832"]',
        ),
        (
            b"US8P60,f09fc2abcdef,v4.0.66.10832 switch:",
            b"-",
            b"switch",
            b"-",
            b'[unifi model="US8P60" mac="f09fc2abcdef" firmware="4.0.66.10832"]',
        ),
        (
            b"USW-24 f09fc2abcdef,USW-24-PoE-7.1.26+15869: switch:",
            b"USW-24",
            b"switch",
            b"-",
            b'[unifi model="USW-24-PoE" mac="f09fc2abcdef" firmware="7.1.26+15869"]',
        ),
        (
            b"AP f09fc2abcdef,U7-Pro-XG-8.6.11+18870: hostapd[6885]:",
            b"AP",
            b"hostapd",
            b"6885",
            b'[unifi model="U7-Pro-XG" mac="f09fc2abcdef" firmware="8.6.11+18870"]',
        ),
        (
            b"f09fc2abcdef,UAP-AC-Pro-Gen2,6.0.21+13673: hostapd[1]:",
            b"-",
            b"hostapd",
            b"1",
            b'[unifi model="UAP-AC-Pro-Gen2" mac="f09fc2abcdef" firmware="6.0.21+13673"]',
        ),
        (
            b"Living Room f09fc2abcdef,U6-Pro-6.5.28+14491: hostapd[1]:",
            b"Living Room",
            b"hostapd",
            b"1",
            b'[unifi model="U6-Pro" mac="f09fc2abcdef" firmware="6.5.28+14491"]',
        ),
        (
            b"f09fc2abcdef,UAP-AC-Lite-6.5.28+14491 : kernel:",
            b"-",
            b"kernel",
            b"-",
            b'[unifi model="UAP-AC-Lite" mac="f09fc2abcdef" firmware="6.5.28+14491"]',
        ),
    ],
)
def test_model_address_and_firmware_are_neither_host_nor_application(
    header: bytes, host: bytes, application: bytes, process: bytes, device: bytes
) -> None:
    check(
        b"<30>%b %b ath0: STA 00:11:22:33:44:55 IEEE 802.11: associated" % (BSD, header),
        host=host,
        application=application,
        process=process,
        structured_data=device,
        text=b"ath0: STA 00:11:22:33:44:55 IEEE 802.11: associated",
        stamp=LOCAL,
        vendor="Ubiquiti",
        words=() if host != b"-" else ("nohost",),
    )


@pytest.mark.parametrize("name", [b"UDMPRO", b"UDM-Pro", b"Cloud Gateway Max", b"udm.example.org"])
def test_a_console_that_says_its_name_twice_is_the_host(name: bytes) -> None:
    check(
        b"<30>%b %b %b ubios-udapi-server[12]: dhcp: ready" % (BSD, name, name),
        host=name,
        application=b"ubios-udapi-server",
        process=b"12",
        text=b"dhcp: ready",
        words=(),
    )


def test_the_short_name_behind_the_full_one_is_the_same_console() -> None:
    check(b"<30>%b udm.example.org udm earlyoom: x" % BSD, host=b"udm.example.org", application=b"earlyoom", text=b"x")


@pytest.mark.parametrize("name", [b"UDMPRO", b"UDMPRO UDMPRO"])
@pytest.mark.parametrize("rule", [b"[WAN_LOCAL-default-D]", b'[LAN_IN-A-2147483647] DESCR="a rule" '])
def test_what_a_firewall_rule_logs_is_the_kernels(name: bytes, rule: bytes) -> None:
    check(
        b"<4>%b %b %bIN=eth8 OUT= SRC=10.0.0.9" % (BSD, name, rule),
        host=b"UDMPRO",
        application=b"kernel",
        text=rule + b"IN=eth8 OUT= SRC=10.0.0.9",
        product="UniFi Gateway",
    )


def test_an_update_of_the_firmware_makes_no_other_stream() -> None:
    old, new = (
        reading(b"<30>%b AP f09fc2abcdef,U6-Lite-%b: hostapd[1]: x" % (BSD, firmware))
        for firmware in (b"6.5.28+14491", b"6.6.55+15189")
    )
    assert (old.host, old.application) == (new.host, new.application) == (b"AP", b"hostapd")
