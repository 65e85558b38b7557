"""A reader of the hand-over files in the relay's place, which deletes nothing: what rsyslog hands over by lines."""

import re
from pathlib import Path
from typing import NamedTuple

from appliance.relay.handover.reader import HandoverReader
from appliance.relay.parse import read

_LINE = re.compile(rb"(?P<received>\d+\.\d{6}) (?P<sender>\S+) (?P<input>[a-z_]+) (?P<raw>.*)", re.DOTALL)
_BLOCK = 2**20


class Record(NamedTuple):
    """One line: what rsyslog knows of a message, the message itself, and how the relay's parser reads it."""

    received: float
    sender: str
    input: str
    raw: bytes
    pri: int
    time: str
    host: str
    app: str
    process: str
    id: str
    has_zone: bool
    words: tuple[str, ...]
    structured_data: bytes
    text: bytes


def parse(line: bytes, *, utc_offset: float | None = None) -> Record:
    """Raise ValueError for what is no such line."""
    match = _LINE.fullmatch(line)
    if not match:
        raise ValueError(f"not a record: {line[:300]!r}")
    raw = re.sub(rb"\x01([0-7]{3})", lambda found: bytes([int(found[1], 8)]), match["raw"])
    record = read(raw, float(match["received"]), utc_offset=utc_offset)
    return Record(
        float(match["received"]),
        match["sender"].decode(),
        match["input"].decode(),
        raw,
        record.priority,
        record.stamp.decode(),
        record.host.decode() if record.host != b"-" else match["sender"].decode(),
        record.application.decode(),
        record.process.decode(),
        record.message_id.decode(),
        record.has_zone,
        record.words,
        record.structured_data,
        record.text.replace(b"\0", b"#000"),
    )


class HandoverSink:
    """Reads one writer's files below a hand-over directory, from their beginning."""

    def __init__(self, handover: Path, writer: str = "rsyslog") -> None:
        self._reader = HandoverReader(handover / writer)
        self._buffer = bytearray(_BLOCK)
        self._lines: list[bytes] = []

    @property
    def records(self) -> list[bytes]:
        """All lines so far, as they stand in the files, without their LF."""
        while count := self._reader.read(self._buffer, _BLOCK):
            whole = self._buffer.rfind(b"\n", 0, count) + 1
            self._lines += bytes(self._buffer[:whole]).split(b"\n")[:-1]
            self._reader.advance(whole)
        return self._lines

    def parsed(self) -> list[Record]:
        return [parse(line) for line in self.records]
