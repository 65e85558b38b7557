"""Pushes bodies to Loki over HTTP: connections, TLS, proxy, credentials, time-outs.

`push` never raises for anything that network, server or files do: it returns an `Answer`. What an
answer means is `loki/response.py`. Redirects are not followed: a push that went to another place than the
one configured would be a surprise, and its credentials with it.
"""

import base64
import contextlib
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import cramjam
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    HTTPError,
    TimeoutError,
)

from appliance import __version__
from appliance.config import model
from appliance.relay.loki.clock import clock_skew
from appliance.relay.loki.credentials import Identity, SecretFile, SecretUnreadable, identity
from appliance.relay.loki.response import Answer, Failure
from appliance.relay.loki.transport_errors import classify

_BODY_LIMIT = 64 * 1024
"""Bytes of an answer that are read."""
_CONNECT_TIMEOUT = 10.0
_OURS = frozenset(
    (
        "content-type",
        "content-encoding",
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
        "user-agent",
        "expect",
    )
)
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class LokiClient:
    """Keep-alive connections to one Loki. Thread-safe; as many pushes at a time as `connections`."""

    def __init__(self, loki: model.Loki) -> None:
        self._loki = loki
        self._lock = threading.Lock()
        self._stopped = False
        self._connections: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._url, self._userinfo = _split_userinfo(loki.url)
        self._target = urlsplit(self._url).path or "/"
        if query := urlsplit(self._url).query:
            self._target += f"?{query}"
        self._base = urlunsplit(urlsplit(self._url)._replace(path="", query="", fragment=""))
        self._proxy, proxy_userinfo = _split_userinfo(loki.proxy) if loki.proxy else ("", "")
        self._proxy_headers = {"Proxy-Authorization": _basic(proxy_userinfo)} if proxy_userinfo else {}
        self._through_proxy = bool(loki.proxy) and self._url.lower().startswith("http:")
        self._password = SecretFile(loki.basic_auth.password_file) if loki.basic_auth else None
        self._token = SecretFile(loki.bearer_token_file) if loki.bearer_token_file else None
        self._tls_files: tuple[Identity | None, ...] = ()
        self._pools: urllib3.PoolManager | None = None
        self._credentials_seen = self._credentials()
        self._fixed = self._fixed_headers()

    # ---- the one thing it does -----------------------------------------------------------------

    def push(self, body: bytes, tenant: str = "", *, json: bool = False) -> Answer:
        """POST a body (snappy protobuf; or JSON, which is compressed here) for a tenant ("" is the configured one)."""
        if json:
            body = bytes(cramjam.gzip.compress(body, level=1))
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"} if json else {
            "Content-Type": "application/x-protobuf"
        }  # fmt: skip
        return self.request("POST", self._target, body, tenant, headers)

    def get(self, path: str, tenant: str = "", *, limit: int = _BODY_LIMIT) -> Answer:
        """GET a path, with query, on the same server; at most `limit` bytes of the answer."""
        return self.request("GET", path, None, tenant, {}, limit=limit)

    @property
    def target(self) -> str:
        """Return path and query of the push URL."""
        return self._target

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None,
        tenant: str,
        headers: Mapping[str, str],
        *,
        limit: int = _BODY_LIMIT,
    ) -> Answer:
        """Send one request, without retries or redirects."""
        started, sent_at = time.monotonic(), time.time()
        deadline = started + self._loki.timeout
        try:
            all_headers = {**self._fixed, **headers, **self._authorization()}
            tenant = tenant or self._loki.tenant or ""
            if tenant:
                all_headers["X-Scope-OrgID"] = tenant
            if self._through_proxy:
                # A proxy is asked for the whole URL (RFC 9112, 3.2.2); TLS goes through a tunnel instead.
                target = self._base + target
                all_headers |= self._proxy_headers
            response = self._pool().urlopen(
                method, target, body, all_headers,
                retries=False, redirect=False, preload_content=False, assert_same_host=False,
                timeout=urllib3.Timeout(connect=min(_CONNECT_TIMEOUT, self._loki.timeout), read=self._loki.timeout),
            )  # fmt: skip
            received_at = time.time()
            text = self._read(response, deadline, limit)
            return Answer(
                response.status,
                text,
                response.headers.get("Retry-After", ""),
                response.headers.get("Content-Type", ""),
                response.headers.get("Location", ""),
                seconds=time.monotonic() - started,
                clock_skew=clock_skew(response.headers.get("Date", ""), sent_at, received_at),
            )
        except (HTTPError, OSError, SecretUnreadable, ValueError) as error:
            if self._stopped:
                return Answer(failure=Failure.STOPPED)
            failure, detail = classify(error)
            return Answer(failure=failure, detail=detail, seconds=time.monotonic() - started)

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float, limit: int) -> str:
        """Return the beginning of the answer; the connection is kept only if that was all of it."""
        chunks, size = [], 0
        try:
            while size < limit:
                chunk = response.read1(min(limit - size, 16384), decode_content=True)
                if not chunk:
                    response.release_conn()
                    break
                chunks.append(chunk)
                size += len(chunk)
                if time.monotonic() > deadline:
                    raise TimeoutError("the answer came too slowly")
            else:
                response.close()
        except BaseException:
            response.close()
            raise
        return b"".join(chunks).decode("utf-8", "replace")

    # ---- credentials and headers ---------------------------------------------------------------

    def _fixed_headers(self) -> dict[str, str]:
        ours = set(_OURS)
        if self._loki.tenant:
            ours.add("x-scope-orgid")
        if self._password or self._token or self._userinfo:
            ours.add("authorization")
        headers = {name: value for name, value in self._loki.headers.items() if name.lower() not in ours}
        return {**headers, "User-Agent": f"forwarder-appliance/{__version__}"}

    def _authorization(self) -> dict[str, str]:
        if self._token is not None:
            return {"Authorization": f"Bearer {self._token.read()}"}
        if self._password is not None and self._loki.basic_auth is not None:
            return {"Authorization": _basic(f"{self._loki.basic_auth.username}:{self._password.read()}")}
        if self._userinfo:
            return {"Authorization": _basic(self._userinfo)}
        return {}

    def _credentials(self) -> tuple[Identity | None, ...]:
        files = [self._loki.bearer_token_file, self._loki.basic_auth.password_file if self._loki.basic_auth else None]
        return (*map(identity, files), *self._identify_tls())

    def credentials_changed(self) -> bool:
        """Return whether a file with a secret or certificate has changed since this was last asked."""
        seen, self._credentials_seen = self._credentials_seen, self._credentials()
        return seen != self._credentials_seen

    # ---- connections ---------------------------------------------------------------------------

    def _identify_tls(self) -> tuple[Identity | None, ...]:
        tls = self._loki.tls
        return tuple(identity(path) for path in (tls.ca_file, tls.cert_file, tls.key_file))

    def _pool(self) -> HTTPConnectionPool:
        files = self._identify_tls()
        with self._lock:
            if self._pools is None or files != self._tls_files:
                pools = self._make_pools()
                old, self._pools, self._tls_files = self._pools, pools, files
                if old is not None:
                    old.clear()
            pools = self._pools
        return pools.connection_from_url(self._url)

    def _make_pools(self) -> urllib3.PoolManager:
        loki = self._loki
        options: dict[str, Any] = {"maxsize": loki.connections, "block": False, "num_pools": 4}
        if self._url.lower().startswith("https:"):
            options["ssl_context"] = make_context(loki.tls)
            if loki.tls.insecure_skip_verify:
                # Said once, when the configuration is read; not on stderr at each new connection.
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
                options["cert_reqs"] = "CERT_NONE"
                options["assert_hostname"] = False
            elif loki.tls.server_name:
                options["assert_hostname"] = loki.tls.server_name
            if loki.tls.server_name:
                options["server_hostname"] = loki.tls.server_name
        pools: urllib3.PoolManager
        if self._proxy:
            pools = urllib3.ProxyManager(self._proxy, proxy_headers=self._proxy_headers, **options)
        else:
            pools = urllib3.PoolManager(**options)
        pools.pool_classes_by_scheme = self._pool_classes()
        return pools

    def _pool_classes(self) -> dict[str, type[HTTPConnectionPool]]:
        """Pools whose connections we can cut from another thread."""
        register = self._connections.add

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                register(self)

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                register(self)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}

    def abort(self) -> None:
        """Cut all connections: pushes under way return at once, as STOPPED."""
        self._stopped = True
        for connection in list(self._connections):
            sock = connection.sock
            if sock is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own shutdown, which would pull TLS from under the thread that reads.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close idle connections; those in use close when their push is over."""
        with self._lock:
            if self._pools is not None:
                self._pools.clear()


def make_context(tls: model.ClientTls) -> ssl.SSLContext:
    """Return what we demand of the server, and our certificate. Raise SecretUnreadable, naming the file."""
    with _naming(f"loki.tls.ca_file {tls.ca_file}"):
        context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.ca_file:
        # What is in that file is trusted as it stands: an authority, or the server's own certificate.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.minimum_version = _VERSIONS[tls.min_version]
    if tls.cert_file:
        with _naming(f"loki.tls.cert_file {tls.cert_file} with key_file {tls.key_file}"):
            context.load_cert_chain(tls.cert_file, tls.key_file)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise SecretUnreadable(f"{what}: {error.strerror or error}") from error


def _basic(userinfo: str) -> str:
    return "Basic " + base64.b64encode(userinfo.encode()).decode()


def _split_userinfo(url: str) -> tuple[str, str]:
    """Return the URL without `user:password@`, and those two decoded."""
    parts = urlsplit(url)
    userinfo, separator, host = parts.netloc.rpartition("@")
    if not separator:
        return url, ""
    return urlunsplit(parts._replace(netloc=host)), unquote(userinfo)
