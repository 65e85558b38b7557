"""`relay check`: whether the relay could run here with this configuration, step by step, with remedies.

Looks at files, ports and Loki itself; changes nothing, and pushes nothing but an empty request, which
Loki refuses in words of its own once authentication is passed. A step that fails ends those that
build on it.
"""

import contextlib
import errno
import os
import pwd
import queue
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import cramjam
import msgspec

from appliance.config.model import Config, Endpoint, Loki, Size, Spool
from appliance.config.secret_files import check_secret_files
from appliance.config.units import Duration
from appliance.relay.loki.client import LokiClient, make_context
from appliance.relay.loki.credentials import SecretUnreadable
from appliance.relay.loki.response import Answer, Kind, diagnose
from appliance.relay.loki.transport_errors import classify

_PUSH_PATH = "/loki/api/v1/push"
_CONNECT_TIMEOUT = 3.0
"""Seconds for each of name, connection and TLS: who asks sits and waits."""
_EXPIRES_SOON = 30 * 86400
_NO_STREAMS = 422
_IN_USE = os.strerror(errno.EADDRINUSE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found: `ok` None means that it deserves attention but breaks nothing."""

    step: str
    ok: bool | None
    detail: str
    remedy: str = ""


def check_relay(config: Config) -> Iterator[Finding]:
    """Yield the findings, in the order in which things depend on each other."""
    yield from check_secrets(config)
    yield check_spool(config.relay.spool)
    running = config.relay.listen.http is not None and relay_answers(config.relay.listen.http)
    for name in ("relp", "syslog_tcp", "push", "http"):
        endpoint = getattr(config.relay.listen, name)
        if endpoint is not None:
            finding = check_port(f"relay.listen.{name}", endpoint)
            if running and finding.ok is False and _IN_USE in finding.detail:
                finding = Finding(finding.step, True, f"{endpoint} is in use, and a relay is running")
            yield finding
    yield from check_loki(config.loki)


# ---- this machine ---------------------------------------------------------------------------


def check_secrets(config: Config) -> Iterator[Finding]:
    """Yield a finding for each secret's file that is missing or open to others."""
    for problem in check_secret_files(config, missing=True):
        yield Finding(
            "secrets", None if problem.severity == "warning" else False, str(problem).splitlines()[0], problem.hint
        )


def check_spool(spool: Spool) -> Finding:
    """Return whether the spool can be written, and has the room it is allowed to take."""
    step, path = "spool", Path(spool.path)
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return Finding(step, False, f"{place} is not a directory", "set relay.spool.path to a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        return _not_ours(step, place)
    with contextlib.suppress(OSError):
        if path.exists() and shutil.disk_usage(path).free < spool.min_free:
            return Finding(
                step,
                False,
                f"less than {spool.min_free} free on {place}",
                "free space there, or lower relay.spool.min_free",
            )
    free = Size(shutil.disk_usage(place).free)
    used = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.exists() else 0
    room, wanted = free - spool.min_free + used, int(spool.max_size)
    what = f"a spool of {spool.max_size}"
    if spool.when_full == "block" and (reserve := spool.reserve - min(spool.reserve, spool.min_free // 2)) > 0:
        wanted += reserve
        what += f" and its reserve of {spool.reserve}"
    if room < wanted:
        remedy = "lower relay.spool.max_size, or give it a larger disk"
        return Finding(step, None, f"{_human(max(room, 0))} of room for {what}", remedy)
    return Finding(step, True, f"{path} can be written, {_human(free)} free")


def _not_ours(step: str, place: Path) -> Finding:
    """Return what a directory means that this user may not write: root, or its owner, has to look."""
    if os.geteuid() == 0:
        return Finding(step, False, f"{place} cannot be written", "is its file system mounted read-only?")
    try:
        owner = pwd.getpwuid(place.stat().st_uid).pw_name
    except (KeyError, OSError):
        owner = "its owner"
    return Finding(step, None, f"not checked: {place} belongs to {owner}", "needs root: `appliance check`")


def relay_answers(http: Endpoint) -> bool:
    """Return whether a relay is running with its HTTP listener there."""
    host = http.host if http.host not in ("", "0.0.0.0", "::") else "127.0.0.1"
    connection = HTTPConnection(host, http.port, timeout=2)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        return answer.status == 200 and b'"inputs"' in answer.read(1 << 20)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def check_port(step: str, endpoint: Endpoint) -> Finding:
    """Return whether an address could be listened on now."""
    try:
        found = socket.getaddrinfo(
            endpoint.host or None, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        return Finding(
            step, False, f"{endpoint}: {error.strerror}", "write an address of this machine, such as 127.0.0.1"
        )
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1)
        except OSError as error:
            remedies = {
                _IN_USE: "stop what listens there, or take another port (ss -ltnp shows who it is)",
                "Permission denied": "ports below 1024 need root or CAP_NET_BIND_SERVICE: take a higher one",
                "Cannot assign requested address": "write an address of this machine, such as 127.0.0.1",
            }
            reason = error.strerror or str(error)
            return Finding(step, False, f"{endpoint}: {reason}", remedies.get(reason, "choose another address or port"))
    return Finding(step, True, f"{endpoint} is free")


# ---- Loki -----------------------------------------------------------------------------------


def check_loki(loki: Loki, *, within: float = _CONNECT_TIMEOUT) -> Iterator[Finding]:
    """Yield what name, connection, TLS, readiness and authentication are like.

    What keeps lines away is reported in the words of the relay's own status. A name or a connection that does
    not come within `within` seconds has failed, and so has a request.
    """
    deadline = time.monotonic() + within
    loki = msgspec.structs.replace(loki, timeout=Duration(min(loki.timeout, within)))
    target = urlsplit(loki.proxy or loki.url)
    host = target.hostname or ""
    port = target.port or (443 if target.scheme == "https" else 80)
    what = "proxy" if loki.proxy else "Loki"
    try:
        addresses = _resolve(host, port, within)
    except OSError as error:
        yield _failed("name", error, loki)
        return
    yield Finding("name", True, f"{host} is {', '.join(addresses[:4])}")
    started = time.monotonic()
    try:
        connection = _connect(addresses, port, deadline)
    except OSError as error:
        yield _failed("connection", error, loki)
        return
    with connection:
        took = (time.monotonic() - started) * 1000
        yield Finding("connection", True, f"{what} at {host}:{port} accepts, {took:.0f} ms")
        if loki.url.lower().startswith("https:") and not loki.proxy:
            finding = _check_tls(loki, connection, host)
            yield finding
            if finding.ok is False:
                return
    # What is left of the time, for those waiting for the answer; a second for a Loki that is only slow.
    left = Duration(min(loki.timeout, max(1.0, deadline - time.monotonic())))
    yield from _check_http(msgspec.structs.replace(loki, timeout=left))


def _resolve(host: str, port: int, within: float) -> list[str]:
    """Return the addresses of a name. Raise OSError, also when no name server answers in time."""
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(one[4][0]) for one in found)))
        except OSError as error:
            answers.put(error)

    # The C library has no time limit of ours: the thread that asks is left behind.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=within)
    except queue.Empty:
        answer = socket.gaierror(socket.EAI_AGAIN, f"no name server answers within {within:g} s")
    if isinstance(answer, OSError):
        raise answer
    return answer


def _connect(addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
    """Return a connection to the first address that takes one before the deadline. Raise OSError."""
    failed: OSError = TimeoutError("timed out")
    for number, address in enumerate(addresses):
        left = (deadline - time.monotonic()) / (len(addresses) - number)
        if left <= 0:
            break
        try:
            return socket.create_connection((address, port), left)
        except OSError as error:
            failed = error
    raise failed


def _failed(step: str, error: OSError, loki: Loki) -> Finding:
    """Return what an error means for lines, in the words that the relay has for it."""
    failure, detail = classify(error)
    diagnosis = diagnose(Answer(failure=failure, detail=detail), time.time())
    cause, remedy = diagnosis.cause, diagnosis.remedy
    if loki.proxy:
        cause, remedy = cause.replace("Loki", "the proxy"), remedy.replace("Loki", "the proxy").replace("url", "proxy")
    return Finding(step, False, cause[:1].upper() + cause[1:] if loki.proxy else cause, remedy)


def _check_tls(loki: Loki, connection: socket.socket, host: str) -> Finding:
    name = loki.tls.server_name or host
    try:
        context = make_context(loki.tls)
        with context.wrap_socket(connection, server_hostname=name) as secured:
            certificate = secured.getpeercert() or {}
            version = secured.version()
    except ssl.SSLCertVerificationError as error:
        remedy = "set loki.tls.ca_file to the authority that signed Loki's certificate"
        if error.verify_code in (62, 64):
            remedy = f"the certificate has other names than {name}: correct loki.url, or set loki.tls.server_name"
        elif error.verify_code == 10:
            remedy = "renew Loki's certificate; check the clock of this machine too"
        return Finding("TLS", False, error.verify_message, remedy)
    except SecretUnreadable as error:
        return Finding("TLS", False, str(error), "check the file and who may read it")
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        return Finding("TLS", False, f"no TLS with {name}: {reason or error}", "is it http:// instead of https://?")
    if not certificate:
        return Finding("TLS", None, f"{version}, not verified", "set loki.tls.ca_file instead of insecure_skip_verify")
    expires = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    left = expires - time.time()
    day = time.strftime("%Y-%m-%d", time.gmtime(expires))
    alternatives = certificate.get("subjectAltName", ())
    names = ", ".join(str(entry[1]) for entry in alternatives if isinstance(entry, tuple))
    detail = f"{version}, {names or name}, valid until {day}"
    if left < _EXPIRES_SOON:
        return Finding("TLS", None, detail, f"renew Loki's certificate: {left / 86400:.0f} days are left")
    return Finding("TLS", True, detail)


def _check_http(loki: Loki) -> Iterator[Finding]:
    client = LokiClient(loki)
    try:
        yield from _ask_loki(client, loki)
    finally:
        client.close()


def _ask_loki(client: LokiClient, loki: Loki) -> Iterator[Finding]:
    path = urlsplit(loki.url).path
    prefix = path.removesuffix(_PUSH_PATH)
    if path.endswith(_PUSH_PATH):
        ready = client.get(f"{prefix}/ready")
        if ready.failure is not None:  # a server that does not answer this answers no push
            diagnosis = diagnose(ready, time.time())
            yield Finding("ready", False, diagnosis.cause, diagnosis.remedy)
            return
        if ready.status == 200:
            yield Finding("ready", True, "Loki reports that it is ready")
        elif ready.status == 503:
            words = " ".join(ready.body.split())[:120]
            yield Finding(
                "ready", None, f"Loki is starting: {words}", "wait a moment, then check Loki's log if it stays"
            )
    # An empty push has nothing to store: Loki itself says whether we may push.
    answer = client.push(bytes(cramjam.snappy.compress_raw(b"")))
    if answer.status == _NO_STREAMS or (answer.status == 204 and not answer.body):
        tenant = f", tenant {loki.tenant}" if loki.tenant else ""
        yield Finding("authentication", True, f"Loki accepts our pushes{tenant}")
    elif answer.status == 400 and "stream" in answer.body:
        yield Finding("authentication", True, "Loki accepts our pushes")
    else:
        diagnosis = diagnose(answer, time.time())
        detail = diagnosis.cause or f"the answer is no Loki's: HTTP {answer.status}"
        later = diagnosis.kind in (Kind.TENANT_RATE,)
        yield Finding("authentication", None if later else False, detail, diagnosis.remedy or "check loki.url")
        return
    if path.endswith(_PUSH_PATH):
        labels = client.get(f"{prefix}/loki/api/v1/labels")
        if labels.status == 200:
            yield Finding("queries", True, "pushed lines can be read back")
        else:
            remedy = "only reading back a test line needs them"
            yield Finding("queries", None, f"queries are not answered here ({labels.code})", remedy)


def _human(number: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number} bytes"
