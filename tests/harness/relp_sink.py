"""A RELP receiver that keeps every record, independent of the relay's own: what rsyslog hands on, byte by byte.

Source: the RELP specification of librelp (relp.html): `TXNR SP COMMAND SP DATALEN [SP DATA] LF`.
"""

import contextlib
import re
import socket
import threading
import time
from typing import NamedTuple, Self

_HEADER = re.compile(rb"(\d{1,9}) ([a-z]{1,32}) (\d{1,9})([ \n])")
_HEARTBEAT = b' i="immark" '
_RECORD = re.compile(
    rb"<(?P<pri>\d+)>1 (?P<time>\S+) (?P<host>\S+) (?P<app>\S+) (?P<process>\S+) (?P<id>\S+) "
    rb'\[fwd@0 r="(?P<received>\d+\.\d{6})" s="(?P<sender>[^"]*)" i="(?P<input>[a-z_]+)" p="(?P<zone>[01])"'
    rb'(?: x="(?P<words>[a-z,]+)")?\]'
    rb"(?P<rest>.*)",
    re.DOTALL,
)


class Record(NamedTuple):
    """One record, taken apart as the contract between rsyslog and the relay has it."""

    pri: int
    time: str
    host: str
    app: str
    process: str
    id: str
    received: float
    sender: str
    input: str
    has_zone: bool
    words: tuple[str, ...]
    structured_data: bytes
    text: bytes


def parse(raw: bytes) -> Record:
    """Raise ValueError for what is not such a record. Control characters come back as they were, NUL as #000."""
    match = _RECORD.fullmatch(raw)
    if not match:
        raise ValueError(f"not a record: {raw[:300]!r}")
    rest: bytes = match["rest"]
    if rest.startswith(b"- ") or rest == b"-":
        structured, rest = b"", rest[1:]
    else:
        data = re.match(rb'(?:\[[^ \]="]+(?: [^ \]="]+="(?:[^"\\\]]|\\.)*")*\])+(?= |$)', rest)
        structured = data[0] if data else b""
        rest = rest[len(structured) :]
    field = {name: value.decode("ascii") for name, value in match.groupdict(b"").items() if name != "rest"}
    return Record(
        int(field["pri"]),
        field["time"],
        field["host"],
        field["app"],
        field["process"],
        field["id"],
        float(field["received"]),
        field["sender"],
        field["input"],
        field["zone"] == "1",
        tuple(field["words"].split(",")) if field["words"] else (),
        structured,
        _plain(rest.removeprefix(b" ")),
    )


def _plain(text: bytes) -> bytes:
    return re.sub(rb"\x01([0-7]{3})", lambda found: bytes([int(found[1], 8)]), text).replace(b"\0", b"#000")


class RelpSink:
    """Listens on loopback, keeps what came and acknowledges it after `delay` seconds, or never.

    rsyslog's heartbeats are acknowledged like messages, and only counted.

    `stop()` ends it as SIGKILL would: connections are cut where they stand.
    """

    def __init__(self, port: int = 0, *, acknowledge: bool = True, delay: float = 0.0) -> None:
        self.acknowledge = acknowledge
        self.delay = delay
        self.records: list[bytes] = []
        self.heartbeats = 0
        self._connections: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", port))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def parsed(self) -> list[Record]:
        return [parse(raw) for raw in list(self.records)]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = bytearray()
        while True:
            try:
                data = connection.recv(1 << 18)
            except OSError:
                return
            if not data:
                return
            buffer += data
            answers = bytearray()
            at = 0
            while match := _HEADER.match(buffer, at):
                number, command, length = int(match[1]), match[2], int(match[3])
                body = match.end() - (0 if match[4] == b" " else 1)
                if len(buffer) < body + length + 1:
                    break
                content = bytes(buffer[body : body + length])
                at = body + length + 1
                if command == b"open":
                    answers += _answer(number, b"200 OK\nrelp_version=0\nrelp_software=sink\ncommands=syslog")
                elif command == b"close":
                    answers += b"%d rsp 0\n0 serverclose 0\n" % number
                else:
                    if _HEARTBEAT in content:
                        self.heartbeats += 1
                    else:
                        self.records.append(content)
                    if self.acknowledge:
                        answers += _answer(number, b"200 OK")
            del buffer[:at]
            if answers:
                time.sleep(self.delay)
                try:
                    connection.sendall(answers)
                except OSError:
                    return


def _answer(number: int, text: bytes) -> bytes:
    return b"%d rsp %d %s\n" % (number, len(text), text)
