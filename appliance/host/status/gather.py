"""Looking at the machine, quickly: everything at once, each with a short time limit, nothing changed.

Only the standard library, so that `appliance status` answers at once. Whatever cannot be seen (by an
ordinary user, or because it is dead) stays unknown in the facts.
"""

import ctypes
import http.client
import json
import os
import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.host.addresses import own_addresses
from appliance.host.layout import DATA, RELAY_CONFIG, Layout
from appliance.host.runner import Runner, run
from appliance.host.status.disk_usage import largest_below
from appliance.host.status.facts import Certificate, Clock, Disk, Facts, Updates
from appliance.host.units import show_units
from appliance.relay.report.x509_dates import read_dates

UNITS = (
    "appliance-relay.service", "appliance-receiver.service", "rsyslog.service", "chrony.service",
    "systemd-networkd.service", "ssh.service",
)  # fmt: skip
DEFAULT_HTTP = "127.0.0.1:9081"
_ANSWER_WITHIN = 2.0  # seconds for each question; a dead part must not make status slow
_BOOT = 600.0  # seconds of uptime after which systemd is not asked whether it still starts
_NEARLY_FULL = 0.15  # free part of a disk below which what fills it is looked for


def gather(layout: Layout | None = None, runner: Runner = run, now: float | None = None) -> Facts:
    """Return what is known now. Never raises for what is broken on the machine."""
    layout = layout or Layout()
    with ThreadPoolExecutor(max_workers=4) as pool:
        relay = pool.submit(read_relay, layout)
        units = pool.submit(show_units, UNITS, runner, timeout=_ANSWER_WITHIN)
        failed = pool.submit(_failed, runner)
        addresses = pool.submit(own_addresses, runner)
        refused = pool.submit(_connections_refused, runner)
        booting = pool.submit(_booting, runner)
        disks = pool.submit(_disks, layout)
        configured, readable = _configured(layout)
        generation, until, interrupted = _generation(layout)
        status, relay_error = relay.result()
        return Facts(
            now=time.time() if now is None else now,
            uptime=_uptime(),
            hostname=socket.gethostname(),
            version=__version__,
            as_root=readable,
            configured=configured,
            systemd=Path("/run/systemd/system").is_dir(),
            booting=booting.result(),
            addresses=tuple(addresses.result()),
            has_default_route=_default_route(),
            units=units.result(),
            failed_units=failed.result(),
            relay=status,
            relay_error=relay_error,
            disks=disks.result(),
            data_mounted=_data_mounted(layout),
            clock=_clock(),
            certificates=_certificates(layout),
            updates=_updates(layout),
            generation=generation,
            unconfirmed_until=until,
            interrupted=interrupted,
            connections_refused=refused.result(),
        )


# ---- relay ----------------------------------------------------------------------------------


def relay_endpoint(layout: Layout) -> tuple[str, int]:
    """Return where the relay answers HTTP: as its own file says, else where the appliance puts it."""
    text = _text(layout.at(RELAY_CONFIG))
    match = re.search(r"^    http: '?([^'\n]+)'?$", text, re.MULTILINE)
    host, _, port = (match[1] if match else DEFAULT_HTTP).rpartition(":")
    host = host.strip("[]")
    return ("127.0.0.1" if host in ("", "0.0.0.0") else "::1" if host == "::" else host), int(port)


def read_relay(layout: Layout) -> tuple[dict[str, Any] | None, str]:
    """Return the relay's own status, or None and why there is none."""
    host, port = relay_endpoint(layout)
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_WITHIN)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        body = answer.read(8 * 2**20)
        decoded = json.loads(body)
    except TimeoutError:
        return None, f"no answer within {_ANSWER_WITHIN:g} s on {host} port {port}"
    except (OSError, http.client.HTTPException) as error:
        return None, f"{getattr(error, 'strerror', None) or type(error).__name__} on {host} port {port}"
    except ValueError:
        return None, f"something else answers on {host} port {port}"
    finally:
        connection.close()
    if answer.status != 200 or not isinstance(decoded, dict) or "queue" not in decoded:
        return None, f"something else answers on {host} port {port}"
    return decoded, ""


# ---- systemd --------------------------------------------------------------------------------


def _failed(runner: Runner) -> tuple[str, ...]:
    answer = runner(
        ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"], timeout=_ANSWER_WITHIN
    )
    return tuple(line.split()[0] for line in answer.out.splitlines() if line.strip()) if answer.ok else ()


def _booting(runner: Runner) -> bool:
    """Return whether systemd still starts what is to run; not asked long after the start."""
    if _uptime() > _BOOT:
        return False
    answer = runner(["systemctl", "is-system-running"], timeout=_ANSWER_WITHIN)
    return answer.out.strip() in ("initializing", "starting")


def _connections_refused(runner: Runner) -> int | None:
    """Return what the firewall counts over the bounds of listeners; only root may ask it."""
    if os.geteuid() != 0:
        return None
    answer = runner(["nft", "--json", "list", "counter", "inet", "appliance", "too_many"], timeout=_ANSWER_WITHIN)
    match = re.search(r'"packets": (\d+)', answer.out) if answer.ok else None
    return int(match[1]) if match else None


# ---- files and kernel -----------------------------------------------------------------------


def _configured(layout: Layout) -> tuple[bool | None, bool]:
    """Return whether there is a configuration, and whether we may look."""
    try:
        found = layout.at(RELAY_CONFIG).exists() or layout.config.exists()
        return found, os.geteuid() == 0 or os.access(layout.generations, os.R_OK)
    except PermissionError:
        return None, False


def _generation(layout: Layout) -> tuple[int | None, float | None, bool]:
    """Return the active generation, when an unconfirmed one reverts, and whether an apply was interrupted."""
    place = layout.generations
    try:
        number = int((place / "current").read_text())
    except (OSError, ValueError):
        return None, None, False
    until = None
    try:
        until = float(json.loads((place / "unconfirmed").read_bytes())["deadline"])
    except (OSError, ValueError, KeyError, TypeError):
        until = None
    return number, until, (place / "switching").exists() and not _lock_held(layout)


def _lock_held(layout: Layout) -> bool:
    """Return whether an apply runs right now."""
    import fcntl

    try:
        with layout.lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _disks(layout: Layout) -> tuple[Disk, ...]:
    found, seen = [], set()
    for path in ("/", DATA):
        place = layout.at(path)
        try:
            space, device = os.statvfs(place), place.stat().st_dev
        except OSError:
            continue
        if device in seen:
            continue
        seen.add(device)
        unit = space.f_frsize
        inodes = space.f_favail / space.f_files if space.f_files else 1.0
        read_only = bool(space.f_flag & os.ST_RDONLY)
        disk = Disk(path, space.f_blocks * unit, space.f_bavail * unit, inodes, read_only)
        if disk.free_ratio < _NEARLY_FULL:
            disk = replace(disk, largest=largest_below(path, layout))
        found.append(disk)
    return tuple(found)


def _data_mounted(layout: Layout) -> bool | None:
    """Return whether the data partition is mounted; None where it need not be one."""
    try:
        if f" {DATA} " not in layout.at("/etc/fstab").read_text().replace("\t", " "):
            return None
    except OSError:
        return None
    return os.path.ismount(layout.at(DATA))


def _default_route() -> bool | None:
    try:
        routes = Path("/proc/net/route").read_text().splitlines()[1:]
    except OSError:
        return None
    if any(line.split()[1:2] == ["00000000"] for line in routes):
        return True
    try:
        routes = Path("/proc/net/ipv6_route").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("0" * 32 + " 00 ") and not line.rstrip().endswith(" lo") for line in routes)


def _uptime() -> float:
    try:
        return float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError):
        return 0.0


_STA_UNSYNC = 0x0040


def _clock() -> Clock:
    """Ask the kernel (adjtimex(2)), which chrony keeps informed; every user may."""
    made = Path(sys.executable if getattr(sys, "frozen", False) else __file__)
    try:
        not_before = made.stat().st_mtime
    except OSError:
        not_before = 0.0
    # struct timex: modes, then longs: offset, freq, maxerror, esterror, and the int status.
    buffer = (ctypes.c_long * 32)()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return Clock(None, None, not_before)
    if state < 0:
        return Clock(None, None, not_before)
    status = ctypes.cast(ctypes.addressof(buffer) + 5 * ctypes.sizeof(ctypes.c_long), ctypes.POINTER(ctypes.c_int))[0]
    return Clock(not status & _STA_UNSYNC, buffer[4] / 1e6, not_before)


def _certificates(layout: Layout) -> tuple[Certificate, ...]:
    """Look at the certificates that are in use: of the listeners, of our authority, and towards Loki."""
    found = []
    relay, rsyslog = (_text(layout.at(path)) for path in (RELAY_CONFIG, "/etc/rsyslog.conf"))
    used = set(re.findall(r'(?i)(?:CertFile|MyCert)="([^"]+)"', rsyslog))
    used |= set(re.findall(r"^ +cert_file: '?([^'\n]+)'?$", relay, re.MULTILINE))
    server = "/etc/appliance/tls/server.crt"
    for path in sorted(used):
        name = "server" if path == server else Path(path).name
        found.append(_certificate(name, path, layout, own=path == server))
    if server in used:
        found.append(_certificate("authority's", "/etc/appliance/tls/ca.crt", layout, own=True))
    return tuple(certificate for certificate in found if certificate is not None)


def _certificate(name: str, path: str, layout: Layout, *, own: bool) -> Certificate | None:
    try:
        begin, end = read_dates(layout.at(path))
    except PermissionError:
        return None
    except (OSError, ValueError) as error:
        return Certificate(name, path, own=own, error=getattr(error, "strerror", None) or str(error))
    return Certificate(name, path, _unix(begin), _unix(end), own)


def _text(path: Path) -> str:
    """Return what is in a file, nothing when it is not for us to read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _unix(moment: datetime) -> float:
    return moment.timestamp()


def _updates(layout: Layout) -> Updates:
    stamp = layout.at("/var/lib/apt/periodic/unattended-upgrades-stamp")
    try:
        last: float | None = stamp.stat().st_mtime
    except OSError:
        last = None
    return Updates(
        installed=layout.at("/usr/bin/unattended-upgrade").exists(),
        last_run=last,
        restart_wanted=layout.at("/run/reboot-required").exists(),
    )
