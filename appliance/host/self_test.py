"""`appliance check`: this machine's self-tests, one by one, causes first.

Each yields a finding with its remedy; none changes anything but for one test line in Loki. What the
status already knows (disk, units, certificates) is not checked twice: its parts are reused.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from appliance.config.model import Config
from appliance.host.layout import Layout
from appliance.host.runner import Runner, run
from appliance.host.sockets import listening
from appliance.host.status.facts import Facts
from appliance.host.status.gather import gather
from appliance.host.status.verdict import Part, judge
from appliance.host.system.complete import complete
from appliance.host.system.ports import OpenPort, open_ports
from appliance.relay.probe.check import Finding, check_loki, check_secrets, check_spool
from appliance.relay.probe.test_message import check_push

_NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
_NTP_WITHIN = 3.0
_OFFSET_DOUBTFUL, _OFFSET_WRONG = 1.0, 60.0  # seconds
_PROGRAMS = {"rsyslog": "rsyslog", "receiver": "appliance-receiver", "relay": "appliance-relay", "ssh": "ssh"}
_FROM_STATUS = (
    "configuration", "network", "disk", "time", "certificates", "relay", "receiver", "rsyslog", "services", "updates",
)  # fmt: skip


def check_machine(
    config: Config, layout: Layout, *, runner: Runner = run, push: bool = True, timeout: float = 30
) -> Iterator[Finding]:
    """Yield the findings. `push` sends a line to Loki and reads it back, within `timeout` seconds."""
    full = complete(config)
    facts = gather(layout, runner)
    parts = {part.name: part for part in judge(facts).parts}
    for name in ("configuration", "network"):
        yield _from_part(parts, name)
    yield from check_route(full, facts, runner)
    yield from check_name_servers(full)
    yield from check_time_servers(full.system.ntp.servers)
    for name in _FROM_STATUS[2:]:
        if name in parts:
            yield _from_part(parts, name)
    yield from check_listeners(full, layout)
    yield from check_secrets(full)
    yield check_spool(full.relay.spool)
    reached = True
    for finding in check_loki(full.loki):
        reached = reached and finding.ok is not False
        yield finding
    if push and reached:
        yield from check_push(full, timeout=timeout)


def _from_part(parts: dict[str, Part], name: str) -> Finding:
    part = parts.get(name)
    if part is None:
        return Finding(name, None, "not known")
    ok = {"green": True, "amber": None, "red": False}[part.state]
    return Finding(name, ok, part.cause or part.summary, part.remedy)


# ---- network --------------------------------------------------------------------------------


def check_route(config: Config, facts: Facts, runner: Runner) -> Iterator[Finding]:
    """Yield how Loki is reached, and whether the next hop answers."""
    host = urlsplit(config.loki.proxy or config.loki.url).hostname or ""
    try:
        address = str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return  # the name has a check of its own
    answer = runner(["ip", "route", "get", address], timeout=5)
    if not answer.ok:
        remedy = "set system.network.ipv4.gateway to a router of this network"
        yield Finding("route", False, f"no route to {address}: {answer.reason}", remedy)
        return
    words = answer.out.split()
    device = words[words.index("dev") + 1] if "dev" in words[:-1] else "?"
    if "via" not in words[:-1]:
        yield Finding("route", True, f"{address} is reached directly by {device}")
        return
    gateway = words[words.index("via") + 1]
    gateway = words[words.index("via") + 2] if gateway in ("inet", "inet6") else gateway
    entry = runner(["ip", "neigh", "show", gateway], timeout=5).out
    if "FAILED" in entry or "INCOMPLETE" in entry:
        remedy = "is the gateway's address right, and this machine in the right network or VLAN?"
        yield Finding("route", False, f"the gateway {gateway} does not answer on {device}", remedy)
        return
    yield Finding("route", True, f"{address} by {gateway} on {device}")


def check_name_servers(config: Config) -> Iterator[Finding]:
    """Yield whether each configured name server answers a question over UDP."""
    name = urlsplit(config.loki.url).hostname or "localhost"
    for server in config.system.network.dns:
        question = struct.pack("!HHHHHH", 0x4C46, 0x0100, 1, 0, 0, 0)
        try:
            labels = name.encode("idna").split(b".")
        except UnicodeError:  # no name that could be asked for; any answer will do
            labels = [b"localhost"]
        question += b"".join(bytes([len(label)]) + label for label in labels if label) + b"\0\0\1\0\1"
        started = time.monotonic()
        answer = _ask(server, 53, question)
        if isinstance(answer, str) or answer[:2] != b"LF":
            reason = answer if isinstance(answer, str) else "an unexpected answer"
            remedy = "check system.network.dns, and UDP port 53 towards it"
            yield Finding("DNS", False, f"the name server {server} does not answer: {reason}", remedy)
        else:
            yield Finding("DNS", True, f"{server} answers, {(time.monotonic() - started) * 1000:.0f} ms")


# ---- time -----------------------------------------------------------------------------------


def check_time_servers(servers: list[str]) -> Iterator[Finding]:
    """Yield whether each time server answers (SNTP, RFC 4330), and how far our clock is from it."""
    for server in servers or ["2.debian.pool.ntp.org"]:
        try:
            offset = clock_offset(server)
        except socket.gaierror as error:
            remedy = "check the name in system.ntp.servers, and the DNS servers of this machine"
            yield Finding("NTP", None, f"{server} cannot be resolved: {error.strerror or error}", remedy)
            continue
        except OSError as error:
            remedy = "check system.ntp.servers, and UDP port 123 outwards"
            yield Finding("NTP", None, f"{server} does not answer: {error.strerror or error}", remedy)
            continue
        if abs(offset) >= _OFFSET_DOUBTFUL:
            remedy = "`chronyc makestep` sets it; Loki refuses what is too far ahead or behind"
            ok = None if abs(offset) < _OFFSET_WRONG else False
            yield Finding(
                "NTP", ok, f"our clock is {abs(offset):.1f} s {'behind' if offset > 0 else 'ahead of'} {server}", remedy
            )
        else:
            yield Finding("NTP", True, f"{server} answers, our clock is within {abs(offset) * 1000:.0f} ms")


def clock_offset(server: str, port: int = 123) -> float:
    """Return how far the server's clock is ahead of ours, in seconds. Raise OSError when it does not answer."""
    request = b"\x23" + bytes(39) + struct.pack("!II", int(time.time()) + _NTP_EPOCH & 0xFFFFFFFF, 0)
    sent = time.time()
    answer = _ask(server, port, request)
    received = time.time()
    if isinstance(answer, str):
        raise OSError(answer)
    if len(answer) < 48 or answer[0] & 7 != 4 or answer[1] == 0:
        raise OSError("it answers, but is not synchronized itself")
    seconds, fraction = struct.unpack("!II", answer[40:48])
    # 2036: the counter starts over (RFC 4330, section 3).
    theirs = seconds - _NTP_EPOCH + (2**32 if seconds < 2**31 else 0) + fraction / 2**32
    return float(theirs - (sent + received) / 2)


def _ask(host: str, port: int, question: bytes) -> bytes | str:
    """Return the answer to a datagram, or why there is none. Raise socket.gaierror for a name without an address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as datagrams:
            datagrams.settimeout(_NTP_WITHIN)
            datagrams.connect(address)
            datagrams.send(question)
            return datagrams.recv(4096)
    except socket.gaierror:
        raise  # a name without an address is another matter than a server that does not answer
    except TimeoutError:
        return f"nothing came within {_NTP_WITHIN:g} s"
    except OSError as error:
        return error.strerror or str(error)


# ---- listeners ------------------------------------------------------------------------------


def check_listeners(config: Config, layout: Layout) -> Iterator[Finding]:
    """Yield whether each listener that is on can be reached from inside; TLS ones with our own authority."""
    bound = listening()
    for port in open_ports(config):
        if (port.protocol, port.port) not in bound:
            program = _PROGRAMS[port.owner]
            remedy = f"see `journalctl -u {program}`"
            yield Finding(port.name, False, f"nothing listens on {port.protocol} port {port.port}", remedy)
        elif port.protocol == "udp":
            yield Finding(port.name, True, f"UDP port {port.port} is open")
        elif port.owner == "ssh":
            # sshd writes an error about each connection that ends before its key exchange.
            yield Finding(port.name, True, f"TCP port {port.port} is open")
        else:
            yield _connect(port, config, layout)


def _connect(port: OpenPort, config: Config, layout: Layout) -> Finding:
    where = (port.address or "127.0.0.1", port.port)
    try:
        with socket.create_connection(where, 5) as connection:
            if port.name not in ("listeners.tls", "listeners.relp_tls"):
                return Finding(port.name, True, f"TCP port {port.port} accepts")
            return _handshake(port, config, layout, connection)
    except OSError as error:
        return Finding(
            port.name,
            False,
            f"TCP port {port.port}: {error.strerror or error}",
            f"see `journalctl -u {_PROGRAMS[port.owner]}`",
        )


def _handshake(port: OpenPort, config: Config, layout: Layout, connection: socket.socket) -> Finding:
    """Return a handshake as a sender does it; ours shows no client certificate, so what comes after is not tried."""
    listener = getattr(config.listeners, port.name.removeprefix("listeners."))
    context = ssl.create_default_context()
    authority = layout.at(listener.tls.ca_file)
    own = authority.is_file()
    if own:
        context.load_verify_locations(authority)
    try:
        with context.wrap_socket(connection, server_hostname=config.system.hostname) as secured:
            return Finding(
                port.name, True, f"TCP port {port.port} offers {secured.version()}, its certificate is valid"
            )
    except ssl.SSLCertVerificationError as error:
        remedy = "`appliance tls show`; senders have to trust its authority" if own else "`appliance tls init`"
        return Finding(port.name, None, f"senders may refuse its certificate: {error.verify_message}", remedy)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        return Finding(
            port.name,
            False,
            f"no TLS on port {port.port}: {reason}",
            "`appliance tls show`, then `journalctl -u rsyslog`",
        )
