"""`relay check`: whether the relay could run here with this configuration, step by step, with remedies.

Looks at files, ports and Loki itself; changes nothing, and pushes nothing but an empty request, which
Loki refuses in words of its own once authentication is passed. A step that fails ends those that
build on it.
"""

import contextlib
import errno
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import cramjam

from appliance.config.model import Config, Endpoint, Loki, Size, Spool
from appliance.config.secret_files import check_secret_files
from appliance.relay.loki.client import LokiClient, make_context
from appliance.relay.loki.credentials import SecretUnreadable
from appliance.relay.loki.response import Kind, judge

_PUSH_PATH = "/loki/api/v1/push"
_CONNECT_TIMEOUT = 10.0
_EXPIRES_SOON = 30 * 86400
_NO_STREAMS = 422
_IN_USE = os.strerror(errno.EADDRINUSE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found: `ok` None means that it is worth a look but keeps nothing from working."""

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
    """Tell whether the spool can be written, and has the room it is allowed to take."""
    step, path = "spool", Path(spool.path)
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return Finding(step, False, f"{place} is not a directory", "set relay.spool.path to a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding(step, False, f"{place} may not be written by this user", "run as the relay's user, or chown it")
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


def relay_answers(http: Endpoint) -> bool:
    """Tell whether a relay is running with its HTTP listener there."""
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
    """Tell whether an address could be listened on now."""
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


def check_loki(loki: Loki) -> Iterator[Finding]:
    """Yield what name, connection, TLS, readiness and authentication are like."""
    target = urlsplit(loki.proxy or loki.url)
    host = target.hostname or ""
    port = target.port or (443 if target.scheme == "https" else 80)
    what = "proxy" if loki.proxy else "Loki"
    try:
        addresses = list(
            dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        )
    except OSError as error:
        remedy = "check the name in loki.url, and the DNS servers of this machine"
        yield Finding("name", False, f"{host} cannot be resolved: {error.strerror}", remedy)
        return
    yield Finding("name", True, f"{host} is {', '.join(addresses[:4])}")
    started = time.monotonic()
    try:
        connection = socket.create_connection((host, port), min(_CONNECT_TIMEOUT, loki.timeout))
    except OSError as error:
        remedy = f"check that {what} runs, that host and port in the URL are right, and the firewalls between"
        yield Finding("connection", False, f"{what} at {host}:{port}: {error.strerror or error}", remedy)
        return
    with connection:
        took = (time.monotonic() - started) * 1000
        yield Finding("connection", True, f"{what} at {host}:{port} accepts, {took:.0f} ms")
        if loki.url.lower().startswith("https:") and not loki.proxy:
            finding = _check_tls(loki, connection, host)
            yield finding
            if finding.ok is False:
                return
    yield from _check_http(loki)


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
            remedy = f"the certificate has other names than {name}: mend loki.url, or set loki.tls.server_name"
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
    path = urlsplit(loki.url).path
    prefix = path.removesuffix(_PUSH_PATH)
    if path.endswith(_PUSH_PATH):
        ready = client.get(f"{prefix}/ready")
        if ready.status == 200:
            yield Finding("ready", True, "Loki says that it is ready")
        elif ready.status == 503:
            words = " ".join(ready.body.split())[:120]
            yield Finding(
                "ready", None, f"Loki is starting: {words}", "wait a little, and look at Loki's log if it stays"
            )
    # An empty push has nothing to store: whoever may push is told so by Loki itself.
    answer = client.push(bytes(cramjam.snappy.compress_raw(b"")))
    if answer.status == _NO_STREAMS or (answer.status == 204 and not answer.body):
        tenant = f", tenant {loki.tenant}" if loki.tenant else ""
        yield Finding("authentication", True, f"Loki takes our pushes{tenant}")
    elif answer.status == 400 and "stream" in answer.body:
        yield Finding("authentication", True, "Loki takes our pushes")
    else:
        judgement = judge(answer, time.time())
        detail = judgement.cause or f"the answer is no Loki's: HTTP {answer.status}"
        later = judgement.kind in (Kind.TENANT_RATE,)
        yield Finding("authentication", None if later else False, detail, judgement.remedy or "check loki.url")
        client.close()
        return
    if path.endswith(_PUSH_PATH):
        labels = client.get(f"{prefix}/loki/api/v1/labels")
        if labels.status == 200:
            yield Finding("queries", True, "pushed lines can be read back")
        else:
            remedy = "only reading back a test line needs them"
            yield Finding("queries", None, f"queries are not answered here ({labels.code})", remedy)
    client.close()


def _human(number: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number} bytes"
