"""What an exception of urllib3, ssl or socket says about why no answer came.

Pure: the kinds of failure and what they mean for a push are `loki/response.py`.
"""

import errno
import socket
import ssl
from collections.abc import Iterator

from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,
)

from appliance.relay.loki.credentials import SecretUnreadable
from appliance.relay.loki.response import Failure


def classify(error: Exception) -> tuple[Failure, str]:
    """Return the kind of failure behind an exception, and what was said about it."""
    chain = list(_chain(error))
    deepest = _words(chain[-1])
    if any(isinstance(cause, SecretUnreadable) for cause in chain):
        return Failure.CREDENTIALS, str(error)
    if any(isinstance(cause, ProxyError) for cause in chain):
        return Failure.PROXY, deepest
    if any(isinstance(cause, (SSLError, ssl.SSLError)) for cause in chain):
        return Failure.TLS, deepest
    if any(isinstance(cause, (NameResolutionError, socket.gaierror)) for cause in chain):
        return Failure.DNS, deepest
    if any(isinstance(cause, ConnectionRefusedError) for cause in chain):
        return Failure.REFUSED, deepest
    if any(isinstance(cause, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)) for cause in chain):
        return Failure.RESET, deepest
    if any(isinstance(cause, (ConnectTimeoutError, TimeoutError, socket.timeout)) for cause in chain):
        return Failure.TIMEOUT, deepest
    if isinstance(error, NewConnectionError) or any(
        isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH) for cause in chain
    ):
        return Failure.UNREACHABLE, deepest
    if isinstance(error, LocationParseError):
        return Failure.DNS, deepest
    if isinstance(error, ProtocolError) and "closed" in str(error).lower():
        return Failure.RESET, deepest
    return Failure.PROTOCOL, deepest


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it was raised from or carries, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        carried = [argument for argument in current.args if isinstance(argument, BaseException)]
        current = carried[0] if carried else current.__cause__ or current.__context__


def _words(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
