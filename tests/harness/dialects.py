"""What devices send, and what each message has to become: the table that the rsyslog tests share."""

import time
from dataclasses import dataclass

SENDER = "127.0.0.1"
RECEIVED = ""  # instead of a time: that of receipt


@dataclass(frozen=True, slots=True)
class Dialect:
    """A message on the wire, sent to an rsyslogd whose zone is +01:00 in winter (Europe/Paris)."""

    name: str
    wire: bytes
    text: bytes
    time: str
    host: str = SENDER
    app: str = "-"
    process: str = "-"
    id: str = "-"
    pri: int = 30
    zone: bool = False
    words: tuple[str, ...] = ()
    structured_data: bytes = b""


def _stamp(offset: float = 0.0) -> time.struct_time:
    return time.gmtime(time.time() + offset)


_NOW = _stamp()
YEAR = _NOW.tm_year
_MONTH = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[_NOW.tm_mon - 1]
_TRAD = f"{_MONTH} {_NOW.tm_mday:2d} 10:00:00".encode()
_DATE = time.strftime("%Y-%m-%d", _NOW)
_ISO = f"{_DATE}T10:00:00"


def local_offset() -> str:
    """The offset of Europe/Paris today, as rsyslogd has it."""
    from datetime import datetime
    from zoneinfo import ZoneInfo

    text = datetime.now(ZoneInfo("Europe/Paris")).strftime("%z")
    return f"{text[:3]}:{text[3:]}"


LOCAL = _ISO + local_offset()

DIALECTS = [
    Dialect(
        "RFC 5424 with everything",
        f'<165>1 {_ISO}.123456789+02:00 h app 12 ID47 [a@1 b="c" d="e"][f@2 g="h"] text'.encode(),
        b"text",
        f"{_ISO}.123456789+02:00",
        "h",
        "app",
        "12",
        "ID47",
        165,
        True,
        (),
        b'[a@1 b="c" d="e"][f@2 g="h"]',
    ),
    Dialect(
        "RFC 5424 of VyOS and rsyslog, two spaces kept",
        f"<30>1 {_ISO}.000001Z vyos sshd 99 - -  two".encode(),
        b" two",
        f"{_ISO}.000001Z",
        "vyos",
        "sshd",
        "99",
        zone=True,
    ),
    Dialect(
        "RFC 5424 with a BOM, which the relay takes off",
        f"<30>1 {_ISO}Z h app - - - ".encode() + b"\xef\xbb\xbftext",
        b"\xef\xbb\xbftext",
        f"{_ISO}Z",
        "h",
        "app",
        zone=True,
    ),
    Dialect(
        "RFC 5424 without a time",
        b"<30>1 - h app 1 I - text",
        b"text",
        RECEIVED,
        "h",
        "app",
        "1",
        "I",
        zone=True,
        words=("notime",),
    ),
    Dialect(
        "RFC 5424 with nothing but a time",
        f"<30>1 {_ISO}Z - - - - -".encode(),
        b"",
        f"{_ISO}Z",
        zone=True,
        words=("nohost",),
    ),
    Dialect(
        "RFC 5424 without PRI",
        f"1 {_ISO}Z h app - - - text".encode(),
        b"text",
        f"{_ISO}Z",
        "h",
        "app",
        pri=13,
        zone=True,
        words=("nopri",),
    ),
    Dialect(
        "RFC 5424 with structured data that does not end",
        f"<30>1 {_ISO}Z h app - - [broken text here".encode(),
        b"[broken text here",
        f"{_ISO}Z",
        "h",
        "app",
        zone=True,
    ),
    Dialect(
        "RFC 5424 with a time that is none",
        b"<30>1 yesterday h app - - - text",
        b"1 yesterday h app - - - text",
        RECEIVED,
        zone=True,
        words=("notime", "nohost", "unparsed"),
    ),
    Dialect(
        "VyOS and Debian, traditional",
        b"<30>" + _TRAD + b" vyos sshd[123]: hello  world",
        b"hello  world",
        LOCAL,
        "vyos",
        "sshd",
        "123",
    ),
    Dialect(
        "day padded with a space",
        f"<30>{_MONTH}  3 10:00:00 h cron: x".encode(),
        b"x",
        f"{_DATE[:8]}03T10:00:00",
        "h",
        "cron",
    ),
    Dialect(
        "XCP-ng",
        b"<135>" + _TRAD + b" xcp xapi: [debug||12 |x|y] msg",
        b"[debug||12 |x|y] msg",
        LOCAL,
        "xcp",
        "xapi",
        pri=135,
    ),
    Dialect(
        "XCP-ng, tag cut at 32 characters",
        b"<30>" + _TRAD + b" xcp-1 forkexecd-with-very-long-name[12 rest of it",
        b"rest of it",
        LOCAL,
        "xcp-1",
        "forkexecd-with-very-long-name",
        words=("cuttag",),
    ),
    Dialect(
        "TrueNAS audit",
        b"<30>" + _TRAD + b' nas TNAUDIT_SMB: @cee:{"a": 1}',
        b'@cee:{"a": 1}',
        LOCAL,
        "nas",
        "TNAUDIT_SMB",
    ),
    Dialect(
        "TrueNAS, line breaks inside",
        b"<30>" + _TRAD + b" nas app[1]: one\ntwo\r\nthree",
        b"one\ntwo\r\nthree",
        LOCAL,
        "nas",
        "app",
        "1",
    ),
    Dialect(
        "TrueNAS, syslog-ng's RFC 5424",
        f'<30>1 {_ISO}+01:00 nas middlewared 7 - [meta sequenceId="1"] t'.encode(),
        b"t",
        f"{_ISO}+01:00",
        "nas",
        "middlewared",
        "7",
        zone=True,
        structured_data=b'[meta sequenceId="1"]',
    ),
    Dialect(
        "ISO time in RFC 3164",
        f"<30>{_ISO}.123456+01:00 h prog[1]: iso".encode(),
        b"iso",
        f"{_ISO}.123456+01:00",
        "h",
        "prog",
        "1",
        zone=True,
    ),
    Dialect(
        "ISO time with nanoseconds",
        f"<30>{_ISO}.123456789Z h prog: iso".encode(),
        b"iso",
        f"{_ISO}.123456789Z",
        "h",
        "prog",
        zone=True,
    ),
    Dialect("ISO time without a zone", f"<30>{_ISO} h1 prog: iso".encode(), b"iso", LOCAL, "h1", "prog"),
    Dialect(
        "ISO time with a zone without colon",
        f"<30>{_ISO}+0530 h1 prog: iso".encode(),
        b"iso",
        f"{_ISO}+05:30",
        "h1",
        "prog",
        zone=True,
    ),
    Dialect("milliseconds", b"<30>" + _TRAD + b".123 h prog: x", b"x", LOCAL.replace("00+", "00.123+"), "h", "prog"),
    Dialect(
        "nanoseconds",
        b"<30>" + _TRAD + b".123456789 h prog: x",
        b"x",
        LOCAL.replace("00+", "00.123456789+"),
        "h",
        "prog",
    ),
    Dialect("year before the clock", b"<30>Jan  3 2024 10:00:00 h p: x", b"x", "2024-01-03T10:00:00", "h", "p"),
    Dialect("year behind the clock", b"<30>Jan  3 10:00:00 2024 h p: x", b"x", "2024-01-03T10:00:00", "h", "p"),
    Dialect(
        "a zone's name is not the host",
        b"<30>" + _TRAD + b" UTC h1 p: x",
        b"x",
        f"{_ISO}+00:00",
        "h1",
        "p",
        zone=True,
    ),
    Dialect(
        "a zone's name, no host",
        b"<30>" + _TRAD + b" CEST: p[1]: x",
        b"x",
        f"{_ISO}+02:00",
        app="p",
        process="1",
        zone=True,
        words=("nohost",),
    ),
    Dialect(
        "a zone's name with several meanings",
        b"<30>" + _TRAD + b" IST h p: x",
        b"x",
        LOCAL,
        "h",
        "p",
        words=("zone",),
    ),
    Dialect(
        "no host",
        b"<30>" + _TRAD + b" sshd[12]: no host",
        b"no host",
        LOCAL,
        app="sshd",
        process="12",
        words=("nohost",),
    ),
    Dialect("host -", b"<30>" + _TRAD + b" - prog: x", b"x", LOCAL, app="prog", words=("nohost",)),
    Dialect("host is an address", b"<30>" + _TRAD + b" 10.1.1.1 prog: x", b"x", LOCAL, "10.1.1.1", "prog"),
    Dialect("host is an IPv6 address", b"<30>" + _TRAD + b" fe80::1 prog: x", b"x", LOCAL, "fe80::1", "prog"),
    Dialect("host in brackets", b"<30>" + _TRAD + b" [10.1.1.1] prog: x", b"x", LOCAL, "10.1.1.1", "prog"),
    Dialect(
        "words, no host and no tag",
        b"<30>" + _TRAD + b" just some words here",
        b"just some words here",
        LOCAL,
        words=("nohost", "notag"),
    ),
    Dialect(
        "host, no tag",
        b"<30>" + _TRAD + b" switch01 link up on port 3",
        b"link up on port 3",
        LOCAL,
        "switch01",
        words=("notag",),
    ),
    Dialect(
        "program with a path",
        b"<30>" + _TRAD + b" h /usr/bin/foo[12]: x",
        b"x",
        LOCAL,
        "h",
        "/usr/bin/foo",
        "12",
    ),
    Dialect("no text", b"<30>" + _TRAD + b" h prog:", b"", LOCAL, "h", "prog"),
    Dialect(
        "IOS with sequence number and a clock that is not set",
        f"<189>000123: *{_MONTH}  1 00:00:00.123: %SYS-5-CONFIG_I: Configured".encode(),
        b"%SYS-5-CONFIG_I: Configured",
        f"{_DATE[:8]}01T00:00:00.123",
        app="SYS",
        id="SYS-5-CONFIG_I",
        pri=189,
        words=("unsynced", "nohost"),
        structured_data=b'[cisco sequence="000123"]',
    ),
    Dialect(
        "IOS with count, host, sequence number and zone",
        b"<189>45: rtr1: 000123: " + _TRAD + b".123 CET: %LINK-3-UPDOWN: Interface up",
        b"%LINK-3-UPDOWN: Interface up",
        f"{_ISO}.123+01:00",
        "rtr1",
        "LINK",
        id="LINK-3-UPDOWN",
        pri=189,
        zone=True,
        structured_data=b'[cisco sequence="000123"]',
    ),
    Dialect(
        "IOS with sequence number",
        b"<189>77: ." + _TRAD + b".123: %SYS-5-CONFIG_I: Configured",
        b"%SYS-5-CONFIG_I: Configured",
        LOCAL.replace("00+", "00.123+"),
        app="SYS",
        id="SYS-5-CONFIG_I",
        pri=189,
        words=("nohost",),
        structured_data=b'[cisco sequence="77"]',
    ),
    Dialect(
        "ASA",
        b"<166>" + _TRAD[:7] + f"{YEAR} ".encode() + _TRAD[7:] + b": %ASA-6-302013: Built",
        b"%ASA-6-302013: Built",
        LOCAL,
        app="ASA",
        id="ASA-6-302013",
        pri=166,
        words=("nohost",),
    ),
    Dialect(
        "ASA with host",
        b"<166>Jan  3 2024 10:00:00 fw1 : %ASA-6-302013: Built",
        b"%ASA-6-302013: Built",
        "2024-01-03T10:00:00",
        "fw1",
        "ASA",
        id="ASA-6-302013",
        pri=166,
    ),
    Dialect(
        "ASA without a time",
        b"<166>%ASA-6-302013: Built",
        b"%ASA-6-302013: Built",
        RECEIVED,
        app="ASA",
        id="ASA-6-302013",
        pri=166,
        zone=True,
        words=("notime", "nohost"),
    ),
    Dialect(
        "NX-OS",
        b"<189>: " + f"{YEAR} ".encode() + _TRAD + b" UTC: %VSHD-5-VSHD_SYSLOG: x",
        b"%VSHD-5-VSHD_SYSLOG: x",
        f"{_ISO}+00:00",
        app="VSHD",
        id="VSHD-5-VSHD_SYSLOG",
        pri=189,
        zone=True,
        words=("nohost",),
    ),
    Dialect(
        "no PRI",
        b"no pri at all",
        b"no pri at all",
        RECEIVED,
        pri=13,
        zone=True,
        words=("nopri", "notime", "nohost", "unparsed"),
    ),
    Dialect("no PRI but a header", _TRAD + b" h app[1]: x", b"x", LOCAL, "h", "app", "1", pri=13, words=("nopri",)),
    Dialect(
        "PRI out of range",
        b"<999>text",
        b"<999>text",
        RECEIVED,
        pri=13,
        zone=True,
        words=("nopri", "notime", "nohost", "unparsed"),
    ),
    Dialect(
        "text that begins with z is not compressed",
        b"zebra crossing",
        b"zebra crossing",
        RECEIVED,
        pri=13,
        zone=True,
        words=("nopri", "notime", "nohost", "unparsed"),
    ),
    Dialect(
        "no time, a program",
        b"<13>dropbear[12]: Child",
        b"Child",
        RECEIVED,
        app="dropbear",
        process="12",
        pri=13,
        zone=True,
        words=("notime", "nohost"),
    ),
    Dialect(
        "no time, words",
        b"<13>Warning: disk full",
        b"Warning: disk full",
        RECEIVED,
        pri=13,
        zone=True,
        words=("notime", "nohost", "unparsed"),
    ),
    Dialect(
        "an hour that is none",
        b"<30>Nov 23 25:00:00 h tag: x",
        b"Nov 23 25:00:00 h tag: x",
        RECEIVED,
        zone=True,
        words=("notime", "nohost", "unparsed"),
    ),
    Dialect("NUL is escaped", b"<30>" + _TRAD + b" h p: a\x00b\x00\n", b"a#000b#000", LOCAL, "h", "p"),
    Dialect(
        "a NUL takes no other control character with it",
        b"<30>" + _TRAD + b" h p: a\x00b\x1b[0m\x01012\tc\x7f",
        b"a#000b\x1b[0m\x01012\tc\x7f",
        LOCAL,
        "h",
        "p",
    ),
    Dialect(
        "other control characters pass",
        b"<30>" + _TRAD + b" h p: b\tc\x1b[0m\x7f",
        b"b\tc\x1b[0m\x7f",
        LOCAL,
        "h",
        "p",
    ),
    Dialect("not UTF-8", b"<30>" + _TRAD + b" h p: caf\xe9 \xff\xfe", b"caf\xe9 \xff\xfe", LOCAL, "h", "p"),
    Dialect("carriage return at the end", b"<30>" + _TRAD + b" h p: x\r\n", b"x", LOCAL, "h", "p"),
    Dialect(
        "quotes and brackets in the text",
        b"<30>" + _TRAD + b' h p: [fwd@0 r="1"] - "\\"',
        b'[fwd@0 r="1"] - "\\"',
        LOCAL,
        "h",
        "p",
    ),
]
