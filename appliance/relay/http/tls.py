"""TLS of an HTTP listener: its context, rebuilt when certificate, key or CAs change on disk.

Who may connect by certificate is in the context; which names are permitted is asked for each request.
"""

import asyncio.sslproto
import logging
import ssl
import time
from collections.abc import Iterable

from appliance.config.model import ServerTls
from appliance.errors import ApplianceError
from appliance.relay.loki.credentials import identity

log = logging.getLogger(__name__)

_LOOK = 5.0  # seconds between two looks at the files
# Each TLS connection has a buffer of this size, touched as far as its client fills it. asyncio's own
# 256 KiB would be 512 MiB for two thousand hostile connections.
asyncio.sslproto.SSLProtocol.max_size = 32 * 1024


class ServerContext:
    """Gives the context for the next connection. A pair that does not fit leaves the one before in use."""

    def __init__(self, settings: ServerTls) -> None:
        self.settings = settings
        self._files = [settings.cert_file, settings.key_file]
        if settings.client_certificates != "none":
            self._files.append(settings.ca_file)
        self._seen: list[object] = []
        self._looked = 0.0
        self._context: ssl.SSLContext | None = None

    def __call__(self) -> ssl.SSLContext:
        """Raise ApplianceError when there is none that works."""
        now = time.monotonic()
        if self._context is not None and now - self._looked < _LOOK:
            return self._context
        self._looked = now
        seen: list[object] = [identity(path) for path in self._files]
        if self._context is None or seen != self._seen:
            try:
                self._context = self._make()
                self._seen = seen
            except ApplianceError as error:
                if self._context is None:
                    raise
                log.error(error.message, extra={"key": "push tls", "hint": "the certificate before stays in use"})
        return self._context

    def _make(self) -> ssl.SSLContext:
        settings = self.settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
            if settings.client_certificates != "none":
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else str(error)
            raise ApplianceError(
                f"the certificate of relay.push.tls cannot be used: {reason}",
                hint=f"see {', '.join(self._files)}; `appliance tls init` makes our own",
            ) from error
        return context


def name_permitted(names: Iterable[str], permitted: Iterable[str]) -> bool:
    """Return whether a certificate contains a permitted name; `*` stands for one part of it, as in rsyslog."""
    patterns = [pattern.lower().split(".") for pattern in permitted]
    return any(
        len(parts) == len(pattern) and all(want in ("*", part) for part, want in zip(parts, pattern, strict=True))
        for parts in (name.lower().split(".") for name in names)
        for pattern in patterns
    )
