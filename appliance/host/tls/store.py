"""The certificates of this machine on disk.

    ca.crt, ca.key                 our own authority
    pairs/N/server.{crt,key}       each server certificate with its key that was ever used
    current -> pairs/N             one rename changes both at once
    server.crt, server.key         links through `current`, the paths that services use
    request.key, request.csr       a request that waits for its certificate

Keys are 0600. What is written is decided by the caller; making and judging is `issue.py`, `judge.py`.
"""

import os
import shutil
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.host.layout import Layout
from appliance.host.tls.issue import Pair
from appliance.host.tree import Link as LinkEntry
from appliance.host.tree import make_parents, put, sync_directory, write_durably

KEPT = 3


class TlsStore:
    def __init__(self, layout: Layout) -> None:
        self.path = layout.tls
        self._owner = str(os.geteuid()), str(os.getegid())

    # ---- reading ----------------------------------------------------------------------------

    def authority(self) -> Pair | None:
        """Return our own authority, None before there is one."""
        return self._pair(self.path / "ca.crt", self.path / "ca.key")

    def server(self) -> Pair | None:
        """Return the server's certificate (with its chain) and key, None before there is one."""
        return self._pair(self.path / "server.crt", self.path / "server.key")

    def request_key(self) -> bytes | None:
        """Return the key of the request that waits for its certificate."""
        path = self.path / "request.key"
        return path.read_bytes() if path.exists() else None

    # ---- writing ----------------------------------------------------------------------------

    def set_authority(self, pair: Pair) -> None:
        self._make()
        self._write(self.path / "ca.key", pair.key, 0o600)
        self._write(self.path / "ca.crt", pair.certificate, 0o644)
        sync_directory(self.path)

    def set_server(self, pair: Pair) -> None:
        """Activate a certificate and its key, both or neither."""
        self._make()
        pairs = self.path / "pairs"
        pairs.mkdir(exist_ok=True)
        pairs.chmod(0o755)
        numbers = sorted(int(p.name) for p in pairs.iterdir() if p.name.isdigit())
        number = (numbers[-1] if numbers else 0) + 1
        place = pairs / str(number)
        staging = pairs / f"{number}.new"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        staging.chmod(0o755)  # the certificate is for everybody, whatever the umask
        self._write(staging / "server.key", pair.key, 0o600)
        self._write(staging / "server.crt", pair.certificate, 0o644)
        sync_directory(staging)
        staging.rename(place)
        sync_directory(pairs)
        put(self.path / "current", LinkEntry(f"pairs/{number}"))
        for name in ("server.crt", "server.key"):
            if not (self.path / name).is_symlink():
                put(self.path / name, LinkEntry(f"current/{name}"))
        for old in numbers[: -KEPT + 1]:
            shutil.rmtree(pairs / str(old), ignore_errors=True)

    def set_request(self, key: bytes, csr: bytes) -> Path:
        self._make()
        self._write(self.path / "request.key", key, 0o600)
        self._write(self.path / "request.csr", csr, 0o644)
        sync_directory(self.path)
        return self.path / "request.csr"

    def clear_request(self) -> None:
        for name in ("request.key", "request.csr"):
            (self.path / name).unlink(missing_ok=True)

    # ---- pieces -----------------------------------------------------------------------------

    def _pair(self, certificate: Path, key: Path) -> Pair | None:
        try:
            return Pair(certificate.read_bytes(), key.read_bytes())
        except FileNotFoundError:
            return None
        except PermissionError:
            raise ApplianceError(f"{key} cannot be read by this user", hint="run the command as root") from None

    def _make(self) -> None:
        try:
            make_parents(self.path / "ca.crt")
        except PermissionError:
            raise ApplianceError("only root may change certificates", hint="run the command with sudo") from None

    def _write(self, path: Path, content: bytes, mode: int) -> None:
        try:
            write_durably(path, content, mode, *self._owner)
        except PermissionError:
            raise ApplianceError("only root may change certificates", hint="run the command with sudo") from None
