"""Rendered files, each checked by the program that will read it, before anything is changed.

A program that is not installed here (a workstation, a test machine) is passed over, and the plan says
so. systemd has no checker for .network files: tests hold their keys against what networkd knows.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.host.layout import DATA, TLS, Layout
from appliance.host.runner import Answer, Runner
from appliance.host.system import render as names
from appliance.host.tree import ABSENT, Entry, File, Tree

SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a program says of the file it will read."""

    path: str
    program: str
    accepted: bool
    skipped: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Reader:
    path: str
    program: str
    command: Callable[[str, Path], list[str]]  # program, staged file


_READERS = (
    _Reader(names.RSYSLOG, "rsyslogd", lambda program, file: [program, "-N1", "-f", str(file)]),
    _Reader(names.FIREWALL, "nft", lambda program, file: [program, "--check", "--file", str(file)]),
    _Reader(names.CHRONY, "chronyd", lambda program, file: [program, "-p", "-f", str(file)]),
    _Reader(names.SUDOERS, "visudo", lambda program, file: [program, "-c", "-q", "-f", str(file)]),
)


def check_all(tree: Tree, runner: Runner, layout: Layout, *, only: Iterable[str] | None = None) -> list[Verdict]:
    """Stage the files in a private directory and ask each program. `only` limits it to these paths."""
    wanted = set(tree if only is None else only)
    with tempfile.TemporaryDirectory(prefix="appliance-staging-") as name:
        staging = Path(name)
        staged = {**tree, names.RSYSLOG: _with_own_places(tree.get(names.RSYSLOG, ABSENT), staging, layout)}
        verdicts = [_ask(reader, staged, staging, runner) for reader in _READERS if reader.path in wanted]
        if names.SSHD in wanted:
            verdicts.append(_ask_sshd(tree, staging, runner))
    return [verdict for verdict in verdicts if verdict is not None]


def _ask(reader: _Reader, tree: Tree, staging: Path, runner: Runner) -> Verdict | None:
    entry = tree.get(reader.path)
    if not isinstance(entry, File):
        return None
    program = shutil.which(reader.program, path=SBIN)
    if program is None:
        return Verdict(reader.path, reader.program, accepted=True, skipped=True, reason="not installed here")
    staged = _stage(entry, staging, reader.path)
    return _verdict(reader, runner(reader.command(program, staged), timeout=30), staged)


def _with_own_places(entry: Entry, staging: Path, layout: Layout) -> Entry:
    """Return rsyslog.conf with directories and certificates that exist while it is checked.

    rsyslogd refuses places that are not there. The data partition may be missing (that must not stop a
    change), and our own certificates are made only once the plan is carried out.
    """
    if not isinstance(entry, File):
        return entry
    text = entry.content.decode()
    for place in (DATA, "/run/appliance"):
        for path in set(re.findall(rf"{place}(?:/[\w-]+)*", text)):
            (staging / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        text = text.replace(place, str(staging / place.lstrip("/")))
    if f"{TLS}/" in text:
        tls = layout.tls
        if not all((tls / name).exists() for name in ("server.crt", "server.key", "ca.crt")):
            tls = _throwaway_certificates(staging)
        text = text.replace(TLS, str(tls))
    return File(text.encode(), entry.mode)


def _throwaway_certificates(staging: Path) -> Path:
    from datetime import UTC, datetime

    from appliance.host.tls.issue import issue_server, new_authority, new_key

    now, key = datetime.now(UTC), new_key()
    authority = new_authority("check", now)
    tls = staging / "tls"
    tls.mkdir(mode=0o700)
    (tls / "ca.crt").write_bytes(authority.certificate)
    (tls / "server.crt").write_bytes(issue_server(authority, key, ["check"], now))
    (tls / "server.key").write_bytes(key)
    return tls


def _ask_sshd(tree: Tree, staging: Path, runner: Runner) -> Verdict | None:
    """sshd tests nothing without a host key: give it one of its own."""
    entry = tree.get(names.SSHD)
    if not isinstance(entry, File):
        return None
    program, keygen = shutil.which("sshd", path=SBIN), shutil.which("ssh-keygen", path=SBIN)
    if program is None or keygen is None:
        return Verdict(names.SSHD, "sshd", accepted=True, skipped=True, reason="not installed here")
    staged, key = _stage(entry, staging, names.SSHD), staging / "host_key"
    runner([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(key)], timeout=30)
    if os.geteuid() == 0:  # its privilege separation directory, made at boot only when ssh.service runs
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    answer = runner([program, "-t", "-f", str(staged), "-h", str(key)], timeout=30)
    return _verdict(_Reader(names.SSHD, "sshd", lambda p, f: []), answer, staged)


def _stage(entry: File, staging: Path, path: str) -> Path:
    staged = staging / path.lstrip("/").replace("/", "_")
    staged.write_bytes(entry.content)
    staged.chmod(entry.mode & 0o740)
    return staged


def _verdict(reader: _Reader, answer: Answer, staged: Path) -> Verdict:
    if answer.ok:
        return Verdict(reader.path, reader.program, accepted=True)
    lines = [line.strip() for line in f"{answer.err}\n{answer.out}".splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line or "ould not" in line or "nvalid" in line] or lines
    reason = " ".join(telling[:3]).replace(str(staged), reader.path)
    return Verdict(reader.path, reader.program, accepted=False, reason=reason[:500] or answer.reason)
