"""The support bundle: diagnostics for support, in one file, without secrets.

Secret files are never read. In everything else that is collected, what looks like a secret is blotted
out (`redact`), because logs and configurations of others may quote one.
"""

import io
import re
import tarfile
import time
from collections.abc import Callable, Iterator

from appliance.host.layout import CONFIG, RELAY_CONFIG, Layout
from appliance.host.runner import Runner, run

LIMIT = 4 * 2**20  # bytes of one part
_FILES = (
    CONFIG, RELAY_CONFIG, "/etc/rsyslog.conf", "/etc/nftables.conf", "/etc/chrony/chrony.conf", "/etc/hosts",
    "/etc/fstab", "/etc/resolv.conf", "/etc/os-release", "/etc/appliance/generations/current",
    "/proc/meminfo", "/proc/loadavg", "/proc/net/snmp", "/proc/net/udp", "/run/appliance-receiver/stats.json",
    "/etc/appliance/tls/server.crt", "/etc/appliance/tls/ca.crt",
)  # fmt: skip
_COMMANDS: dict[str, tuple[str, ...]] = {
    "journal-relay.txt": ("journalctl", "-u", "appliance-relay", "-n", "3000", "--no-pager", "-o", "short-iso"),
    "journal-receiver.txt": ("journalctl", "-u", "appliance-receiver", "-n", "1000", "--no-pager", "-o", "short-iso"),
    "journal-rsyslog.txt": ("journalctl", "-u", "rsyslog", "-n", "1000", "--no-pager", "-o", "short-iso"),
    "journal-warnings.txt": ("journalctl", "-p", "warning", "-b", "-n", "2000", "--no-pager", "-o", "short-iso"),
    "journal-boot.txt": ("journalctl", "-b", "-n", "20000", "--no-pager", "-o", "short-iso"),
    "journal-boots.txt": ("journalctl", "--list-boots", "--no-pager"),
    "units.txt": ("systemctl", "list-units", "--all", "--no-pager", "--plain"),
    "failed.txt": ("systemctl", "status", "--failed", "--no-pager", "-n", "20"),
    "receiver-unit.txt": ("systemctl", "show", "appliance-receiver", "--no-pager"),
    "relay-unit.txt": ("systemctl", "show", "appliance-relay", "--no-pager"),
    "addresses.txt": ("ip", "address"),
    "routes.txt": ("ip", "route", "show", "table", "all"),
    "sockets.txt": ("ss", "-lntup"),
    "network.txt": ("networkctl", "status", "--all", "--no-pager"),
    "names.txt": ("resolvectl", "status", "--no-pager"),
    "time.txt": ("chronyc", "-n", "tracking"),
    "time-sources.txt": ("chronyc", "-n", "sources"),
    "disks.txt": ("df", "-h"),
    "block-devices.txt": ("lsblk", "--fs"),
    "memory.txt": ("free", "-m"),
    "processes.txt": ("ps", "-eo", "pid,user,rss,pcpu,etime,comm", "--sort=-rss"),
    "packages.txt": ("dpkg-query", "-W"),
    "spool.txt": ("ls", "-la", "--time-style=full-iso", "/var/lib/appliance", "/var/lib/appliance/spool"),
    "history.txt": ("appliance", "config", "history"),
    "status.json": ("appliance", "status", "--json"),
    "status.txt": ("appliance", "status"),
    "check.txt": ("appliance", "check", "--no-push"),
}

_KEYS = r"(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|authorization|bearer|credential|cookie|private[_-]?key)"
_VALUE = r"""(?:"[^"\n]*"|'[^'\n]*'|[^\s,;}]+)"""
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        "[private key]",
    ),
    (re.compile(r"\$(?:y|gy|7|2[aby]|6|5|1)\$[^\s:'\"]+"), "[password hash]"),
    (re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/@:]+:[^\s/@]+@", re.IGNORECASE), r"\1[redacted]@"),
    (re.compile(r"\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE), r"\1 [redacted]"),
    # A path after the key is where the secret is kept, not the secret.
    (re.compile(rf"(\b[\w-]*{_KEYS}[\w-]*['\"]?\s*[=:]\s*)(?!\s*/){_VALUE}", re.IGNORECASE), r"\1[redacted]"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), "[token]"),
    (re.compile(r"\bglc_[A-Za-z0-9+/=_-]{8,}|\bglsa_[A-Za-z0-9_]{8,}"), "[token]"),
)


def redact(text: str) -> str:
    """Return the text with everything blotted out that looks like a secret. Paths of secret files stay."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def headers_hidden(text: str) -> str:
    """Return a configuration without the values of `loki.headers`, which may carry keys of any name."""
    return re.sub(
        r"^(\s*)headers:[ \t]*(\{[^}]*\}|(?:\n\1[ \t]+[^\n]*)+)", r"\1headers: [redacted]", text, flags=re.MULTILINE
    )


def collect(layout: Layout, runner: Runner = run, progress: Callable[[str], None] = lambda name: None) -> bytes:
    """Return the bundle, a gzipped tar. What cannot be had is in it as a sentence saying why."""
    buffer = io.BytesIO()
    top = f"support-{time.strftime('%Y%m%d-%H%M%S')}"
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        for name, content in _parts(layout, runner):
            progress(name)
            data = redact(content).encode(errors="replace")
            if len(data) > LIMIT:
                data = b"[the beginning was cut]\n" + data[-LIMIT:]
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size, info.mtime, info.mode = len(data), int(time.time()), 0o600
            bundle.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _parts(layout: Layout, runner: Runner) -> Iterator[tuple[str, str]]:
    for path in _FILES:
        try:
            text = layout.at(path).read_text(errors="replace")
        except OSError as error:
            text = f"[{error.strerror}]\n"
        yield f"files{path}", headers_hidden(text)
    for name, command in _COMMANDS.items():
        answer = runner(command, timeout=60)
        yield name, answer.out + (f"\n[exit status {answer.code}] {answer.err}" if not answer.ok else "")
