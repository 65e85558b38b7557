"""Load in the background: numbered messages over RELP or plain TCP at a rate, while a test breaks things."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

from tests.harness.relp_client import RelpClient
from tests.harness.senders import numbered, octet_counted


class RelpLoad:
    """Sends `n=0 …` from a thread until told to stop or `total` is reached; what was sent is acknowledged.

    `rate` is in messages a second, 0 for as fast as acknowledgements allow.
    """

    def __init__(
        self,
        port: int,
        *,
        total: int = 0,
        rate: float = 0,
        hosts: int = 10,
        size: int = 100,
        window: int = 2000,
        patience: float = 60,
        make: Callable[[int], bytes] | None = None,
    ) -> None:
        self.client = RelpClient(port, window=window, patience=patience)
        self.produced = 0
        self._total = total
        self._rate = rate
        self._hosts, self._size = hosts, size
        self._make = make
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="relp-load", daemon=True)
        self._thread.start()

    def _messages(self) -> Iterator[bytes]:
        started = time.monotonic()
        while not self._stop.is_set() and (not self._total or self.produced < self._total):
            if self._rate and self.produced % 50 == 0:
                ahead = self.produced / self._rate - (time.monotonic() - started)
                if ahead > 0:
                    self._stop.wait(ahead)
            number = self.produced
            self.produced += 1
            if self._make:
                yield self._make(number)
            else:
                yield from numbered((number,), hosts=self._hosts, size=self._size)

    def _run(self) -> None:
        try:
            self.client.send(self._messages())
        except Exception as error:  # noqa: BLE001 — shown by finish()
            self._error = error
        finally:
            self.client.close()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def finish(self, timeout: float = 60, *, stop: bool = True) -> int:
        """How many messages were sent and acknowledged. Raise what went wrong."""
        if stop:
            self._stop.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"{self.produced} produced, {self.client.acknowledged} acknowledged")
        if self._error:
            raise self._error
        assert self.client.acknowledged == self.produced
        return self.produced


class TcpLoad:
    """Sends `n=0 …` over one connection of TCP or TLS, which is not acknowledged: it waits where it is held back.

    `rate` is in messages a second, 0 for as fast as they are taken.
    """

    def __init__(
        self,
        port: int,
        *,
        rate: float = 0,
        total: int = 0,
        make: Callable[[int], bytes] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.produced = 0
        self._rate, self._total = rate, total
        self._make = make or (lambda number: next(numbered((number,))))
        self._stop = threading.Event()
        plain = socket.create_connection(("127.0.0.1", port))
        self._socket = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        self._thread = threading.Thread(target=self._run, name="tcp-load", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        started = time.monotonic()
        while not self._stop.is_set() and (not self._total or self.produced < self._total):
            if self._rate and (ahead := self.produced / self._rate - (time.monotonic() - started)) > 0:
                self._stop.wait(ahead)
            self._socket.sendall(octet_counted(self._make(self.produced + n) for n in range(50)))
            self.produced += 50
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket = self._socket.unwrap()
        self._socket.shutdown(socket.SHUT_WR)

    def finish(self, timeout: float = 60, *, stop: bool = True) -> int:
        """How many messages were sent, once the receiver has read them all and closed its side."""
        if stop:
            self._stop.set()
        self._thread.join(timeout)
        self._socket.settimeout(timeout)
        assert self._socket.recv(1) == b""
        self._socket.close()
        return self.produced
