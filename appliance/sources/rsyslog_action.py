"""The rsyslog action that sends everything here, one for each transport, with a queue on disk. Pure.

Recipes of machines that run rsyslog share it; the tests let `rsyslogd -N1` judge it.
Source: rsyslog's documentation of omfwd, omrelp and queue parameters (rsyslog 8.2302 and later).
"""

from appliance.sources.forwarder import Forwarder, Transport

AUTHORITY = "/etc/ssl/forwarder-ca.crt"
CLIENT_CERTIFICATE = "/etc/ssl/forwarder-client.crt"
CLIENT_KEY = "/etc/ssl/forwarder-client.key"
_QUEUE = (
    '       queue.type="LinkedList" queue.filename="forwarder" queue.maxDiskSpace="1g"',
    '       queue.saveOnShutdown="on" action.resumeRetryCount="-1")',
)
_FORMAT = '       template="RSYSLOG_SyslogProtocol23Format"'


def action(at: Forwarder, transport: Transport) -> tuple[str, ...]:
    """Return the lines of a drop-in for rsyslog.d. Raise KeyError for a transport that rsyslog has not."""
    return {"relp_tls": _relp_tls, "relp": _relp, "tls": _tls, "tcp": _tcp, "udp": _udp}[transport](at)


def bring_certificates(at: Forwarder) -> tuple[str, ...]:
    """Return the shell lines that put our authority, and the client certificate if one is wanted, in place."""
    lines = (f"cat > {AUTHORITY} <<'END'", *at.authority_lines(), "END")
    if at.wants_client_certificate:
        lines += (
            "# on the forwarder: appliance tls client <name of this machine>; bring its files here as",
            f"#   {CLIENT_CERTIFICATE} and {CLIENT_KEY} (mode 0600)",
        )
    return lines


def _relp(at: Forwarder) -> tuple[str, ...]:
    target = f'action(type="omrelp" target="{at.address}" port="{at.relp}"'
    return ('module(load="omrelp")', target, _FORMAT, *_QUEUE)


def _relp_tls(at: Forwarder) -> tuple[str, ...]:
    client = (f'       tls.myCert="{CLIENT_CERTIFICATE}" tls.myPrivKey="{CLIENT_KEY}"',)
    return (
        'module(load="omrelp")',
        f'action(type="omrelp" target="{at.name}" port="{at.relp_tls}" tls="on" tls.caCert="{AUTHORITY}"',
        *(client if at.wants_client_certificate else ()),
        f'       tls.authMode="name" tls.permittedPeer="{at.name}"',
        _FORMAT,
        *_QUEUE,
    )


def _tls(at: Forwarder) -> tuple[str, ...]:
    certificates = (
        f'global(defaultNetstreamDriverCAFile="{AUTHORITY}"',
        f'       defaultNetstreamDriverCertFile="{CLIENT_CERTIFICATE}"',
        f'       defaultNetstreamDriverKeyFile="{CLIENT_KEY}")',
    )
    return (
        *(certificates if at.wants_client_certificate else (f'global(defaultNetstreamDriverCAFile="{AUTHORITY}")',)),
        f'action(type="omfwd" target="{at.name}" port="{at.tls}" protocol="tcp" TCP_Framing="octet-counted"',
        '       StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name"',
        f'       StreamDriverPermittedPeers="{at.name}"',
        _FORMAT,
        *_QUEUE,
    )


def _tcp(at: Forwarder) -> tuple[str, ...]:
    target = f'action(type="omfwd" target="{at.address}" port="{at.tcp}" protocol="tcp" TCP_Framing="octet-counted"'
    return (target, _FORMAT, *_QUEUE)


def _udp(at: Forwarder) -> tuple[str, ...]:
    return (f'action(type="omfwd" target="{at.address}" port="{at.udp}" protocol="udp"', f"{_FORMAT})")
