"""A test message: sent as a device would send it, and looked for in Loki.

Responsible for where it goes, what it says, finding it, and what to say when Loki is away; showing is the
command line's and the console's.
"""

import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, urlsplit

from appliance.config.model import Config
from appliance.errors import ApplianceError
from appliance.relay.loki.client import LokiClient
from appliance.relay.probe.check import Finding
from appliance.relay.probe.reach import reach
from appliance.relay.probe.read_back import verify

_PUSH_PATH = "/loki/api/v1/push"
_NOTICE = 13  # user.notice, RFC 5424 section 6.2.1


@dataclass(frozen=True, slots=True)
class Way:
    """A listener of ours that takes syslog."""

    name: str
    protocol: Literal["udp", "tcp"]
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Found:
    """The line as Loki has it: the labels of its stream, and the line."""

    labels: dict[str, str]
    line: str


def trial(config: Config, way: Way, text: str, *, timeout: float) -> Iterator[Finding]:
    """Send a message and yield what becomes of it, within `timeout` seconds, or three when Loki is away.

    Raise ApplianceError when nothing listens there, or Loki answers no queries.
    """
    mark, started = secrets.token_hex(6), time.time()
    send(way, message(f"{text} [{mark}]", started, socket.gethostname()))
    yield Finding("sent", True, f"over {way.protocol.upper()} to {way.host}:{way.port}, marked {mark}")
    away = reach(config.loki)
    if away.ok is False:
        yield Finding("arrived", False, f"Loki is away; the line waits here: {away.detail}", away.remedy)
        return
    found = find(config, mark, started, timeout)
    if found is None:
        detail = f"the line was not in Loki within {timeout:g} s; it is not lost, it waits here"
        yield Finding("arrived", False, detail, "`appliance status` shows the cause")
        return
    labels = ", ".join(f"{name}={value}" for name, value in sorted(found.labels.items()))
    yield Finding("arrived", True, f"in Loki after {time.time() - started:.1f} s: {labels}")


def check_push(config: Config, *, timeout: float = 30.0) -> Iterator[Finding]:
    """Push one line to Loki, past the spool, and count it back."""
    yield verify(config.loki, secrets.token_hex(6), streams=1, entries=1, timeout=timeout).finding


def ways(config: Config) -> list[Way]:
    """Return the listeners without TLS, the one that most devices use first."""
    found = []
    for name, protocol in (("tcp", "tcp"), ("udp", "udp")):
        listener = getattr(config.listeners, name)
        if listener is not None:
            kind: Literal["udp", "tcp"] = "udp" if protocol == "udp" else "tcp"
            found.append(Way(f"listeners.{name}", kind, _reachable(listener.address or ""), listener.port))
    if (endpoint := config.relay.listen.syslog_tcp) is not None:
        found.append(Way("relay.listen.syslog_tcp", "tcp", _reachable(endpoint.host), endpoint.port))
    return found


def message(text: str, now: float, host: str) -> bytes:
    """Return an RFC 5424 message of user.notice from the application `appliance-test`."""
    stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"<{_NOTICE}>1 {stamp} {host or '-'} appliance-test - - - {text}".encode()


def send(way: Way, data: bytes) -> None:
    """Send one message. Raise ApplianceError when nothing listens there."""
    try:
        if way.protocol == "udp":
            family = socket.AF_INET6 if ":" in way.host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
                datagrams.sendto(data, (way.host, way.port))
        else:
            with socket.create_connection((way.host, way.port), 5) as stream:
                stream.sendall(data + b"\n")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ApplianceError(
            f"{way.name} does not accept the message ({way.host}:{way.port}: {reason})",
            hint="is the forwarder running?",
        ) from None


def find(
    config: Config,
    words: str,
    since: float,
    timeout: float,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Found | None:
    """Look in Loki for a line with `words` not older than `since`, for `timeout` seconds at most.

    Raise ApplianceError when Loki answers no queries.
    """
    prefix = urlsplit(config.loki.url).path.removesuffix(_PUSH_PATH)
    query = quote(f'{{{_some_label(config)}=~".+"}} |= `{words}`')
    client = LokiClient(config.loki)
    deadline = now() + timeout
    try:
        while True:
            start, end = int((since - 60) * 1e9), int((now() + 60) * 1e9)
            answer = client.get(f"{prefix}/loki/api/v1/query_range?query={query}&start={start}&end={end}&limit=1")
            if answer.status == 200 and (found := _first(answer.body)) is not None:
                return found
            if now() >= deadline:
                if answer.status != 200:
                    said = answer.detail or " ".join(answer.body.split())[:200] or answer.code
                    raise ApplianceError(f"Loki does not answer queries: {said}", hint="check for the line in Grafana")
                return None
            sleep(0.5)
    finally:
        client.close()


def _first(body: str) -> Found | None:
    try:
        streams = json.loads(body)["data"]["result"]
        return Found(dict(streams[0]["stream"]), str(streams[0]["values"][0][1])) if streams else None
    except (ValueError, KeyError, IndexError, TypeError):
        return None


def _some_label(config: Config) -> str:
    """Return the name of a label that the line is sure to have, or Loki's own."""
    return next(iter(config.labels.static), None) or next(iter(config.labels.include), None) or "service_name"


def _reachable(host: str) -> str:
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
