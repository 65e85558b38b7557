"""Syslog senders: UDP, TCP octet-counted and LF, TLS. RELP is in `relp_client`."""

import socket
import ssl
import time
from collections.abc import Iterable, Iterator


def rfc5424(
    text: str | bytes,
    *,
    host: str = "host1",
    application: str = "app",
    process: str = "1234",
    message_id: str = "-",
    pri: int = 30,
    at: float | None = None,
    structured_data: str = "-",
) -> bytes:
    """One message; `at` is Unix seconds, by default now."""
    moment = time.time() if at is None else at
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e6):06d}Z"
    head = f"<{pri}>1 {stamp} {host} {application} {process} {message_id} {structured_data} ".encode()
    return head + (text.encode() if isinstance(text, str) else text)


def numbered(numbers: Iterable[int], *, hosts: int = 10, size: int = 0) -> Iterator[bytes]:
    """Messages `n=0 …`, spread over hosts, padded to `size` bytes of text."""
    for number in numbers:
        yield rfc5424(f"n={number} ".ljust(size, "x"), host=f"host{number % hosts}")


def octet_counted(messages: Iterable[bytes]) -> bytes:
    return b"".join(b"%d %s" % (len(message), message) for message in messages)


def lines(messages: Iterable[bytes]) -> bytes:
    return b"".join(message + b"\n" for message in messages)


def send_tcp(port: int, data: bytes, *, tls: ssl.SSLContext | None = None, name: str = "localhost") -> None:
    """Send over one connection and close it in an orderly way."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        if tls:
            with tls.wrap_socket(plain, server_hostname=name) as secure:
                secure.sendall(data)
                secure.unwrap()
            return
        plain.sendall(data)
        plain.shutdown(socket.SHUT_WR)
        plain.settimeout(5)
        try:
            plain.recv(1)
        except OSError:
            return  # a reader that keeps the connection open has nothing to say to us


def send_udp(port: int, messages: Iterable[bytes], *, pause: float = 0.0) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for message in messages:
            sender.sendto(message, ("127.0.0.1", port))
            if pause:
                time.sleep(pause)
