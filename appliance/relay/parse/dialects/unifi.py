"""Ubiquiti UniFi access points, switches, gateways and consoles, of all firmware generations.

Access points and switches put model, MAC address and firmware where the host or the tag belongs, and did it
differently over time:

    <30>TIME ("U7PG2,f09fc2abcdef,v4.3.20.11298") hostapd: text
    <30>TIME U7PG2,f09fc2abcdef,v4.0.66.10832: logread[5495]: text
    <27>TIME US8P60,18e8294876c3,v4.0.66.10832 switch: DOT1S: text
    <14>TIME f09fc2abcdef,UAP-AC-Pro-Gen2,6.0.21+13673: hostapd[1]: text
    <14>TIME NAME f09fc2abcdef,U7-Pro-XG-8.6.11+18870: hostapd[6885]: text

The host is the name where there is one, and the sender's address otherwise: the model is not unique, the
MAC address is nobody's name, and the firmware changes. All three are kept as structured data, the program
behind them is the application. Gateways and consoles write a packet that their firewall logs without a tag,
which is the kernel's: `<4>TIME UDM-Pro [WAN_LOCAL-D-40000]DESCR="…" IN=eth8 …`. Consoles repeat their name
(`TIME UDM-Pro UDM-Pro ubios-udapi-server[12]: text`), which `rfc3164` knows, and send CEF (`cef`).

No document of Ubiquiti's describes this; the forms are those of messages quoted in public: the tests of
splunk/splunk-connect-for-syslog (tests/test_ubiquiti_unifi.py) and philhagen/sof-elk issue 408.
"""

import re

from appliance.relay.parse import header, structured
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_DEVICE = re.compile(
    rb' {0,4}(?:(?P<host>%b) {1,4})?\(?"?(?:(?P<model>[A-Za-z0-9+_-]{2,32}),)?'
    rb"(?P<mac>[0-9a-fA-F]{12}|(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}),"
    rb"(?:(?P<type>[A-Za-z][A-Za-z0-9+_-]{0,31}?)[,-])?"
    rb'v?(?P<firmware>[0-9]{1,3}\.[0-9][0-9A-Za-z.+-]{0,40})"?\)?[: ]+' % header.HOST
)
_SPACED_NAME = re.compile(rb" {0,4}([A-Za-z0-9_\x80-\xff][^,:\"(\0-\x1f]{0,62}?) (?=[0-9a-fA-F]{12},)")
_PROGRAM = re.compile(rb"(%b)(?:\[(%b)\])?:(?: |\Z)" % (header.TAG, header.PROCESS))
_PACKET = re.compile(
    rb" {0,4}(?P<host>%b) {1,4}(?:(?P=host) {1,4})?(?=\[[^]]{1,64}\] ?(?:DESCR=\"[^\"]{0,128}\" )?IN=)" % header.HOST
)


def _read(message: Message) -> Record | None:
    body = message.body
    found = _DEVICE.match(body)
    spaced = _SPACED_NAME.match(body) if message.stamp and not found else None
    if spaced:
        found = _DEVICE.match(body, spaced.end())
    if not found:
        packet = _PACKET.match(body) if message.stamp else None
        if not packet:
            return None
        message.product = "UniFi Gateway"
        return message.record(body[packet.end() :], host=packet["host"], application=b"kernel")
    start = found.end()
    program = _PROGRAM.match(body, start)
    return message.record(
        body[program.end() if program else start :],
        host=found["host"] or (spaced[1] if spaced else b"-"),
        application=program[1] if program else b"-",
        process=program[2] if program else None,
        structured_data=structured.element(
            b"unifi",
            (b"model", found["model"] or found["type"]),
            (b"mac", found["mac"]),
            (b"firmware", found["firmware"]),
        ),
    )


DIALECT = Dialect(
    "Ubiquiti", "UniFi", (b",", b" ["), _read, (b"ubios-udapi-server", b"mcad", b"stahtd", b"ubnt-systemtool")
)
