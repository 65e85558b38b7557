"""Runs bytes through the hot path, compiled or as plain Python, and reads the batch back by protobuf."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.config import model
from appliance.relay.inputs import INPUTS
from appliance.relay.loki.label_syntax import parse_labels
from appliance.relay.parse.time_policy import TimePolicy
from tests.loki_double import proto

NOW = 1_790_000_000_000_000_000  # 2026-09-21T14:13:20Z
_HOT = "appliance.relay.hot"
_SOURCES = Path(importlib.import_module("appliance.relay").__file__ or "").with_name("hot")
_USERS = ("appliance.relay.labels.cardinality", "appliance.relay.labels.resolver")


@dataclass(frozen=True)
class Modules:
    hot: Any
    guard: Any
    labels: Any


class _FromSource(importlib.abc.MetaPathFinder):
    """Finds the modules of the hot path as sources, though they are compiled."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith(f"{_HOT}."):
            return None
        file = _SOURCES / f"{name.rpartition('.')[2]}.py"
        return importlib.util.spec_from_file_location(
            name, file, loader=importlib.machinery.SourceFileLoader(name, str(file))
        )


def _modules(*, plain: bool) -> Modules:
    """The hot path, compiled or as Python, with the modules that use it, apart from those of the process."""
    saved = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(_HOT) or name in _USERS}
    finder = _FromSource()
    if plain:
        sys.meta_path.insert(0, finder)
    try:
        return Modules(*(importlib.import_module(name) for name in (_HOT, *_USERS)))
    finally:
        if plain:
            sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(_HOT) or name in _USERS]:
            del sys.modules[name]
        sys.modules.update(saved)


COMPILED = _modules(plain=False)
PLAIN = _modules(plain=True)
BOTH = {"compiled": COMPILED, "plain": PLAIN}


@dataclass(frozen=True)
class Entry:
    labels: dict[str, str]
    time_ns: int
    line: bytes
    metadata: dict[str, str] = field(default_factory=dict)


def read_batch(body: bytes | bytearray) -> list[Entry]:
    """The entries of a PushRequest, stream by stream."""
    request = proto.PushRequest.FromString(bytes(body))
    found = []
    for stream in request.streams:
        labels = parse_labels(stream.labels.decode())
        for entry in stream.entries:
            pairs = [proto.LabelPair.FromString(pair) for pair in entry.metadata]
            metadata = {pair.name.decode(): pair.value.decode() for pair in pairs}
            stamp = entry.timestamp.seconds * 10**9 + entry.timestamp.nanos
            found.append(Entry(labels, stamp, entry.line, metadata))
    return found


class Packing:
    """One packer with a configuration, fed in pieces."""

    def __init__(
        self,
        modules: Modules,
        labels: model.Labels | None = None,
        *,
        time: model.TimeSettings | None = None,
        batch_size: int = 1 << 20,
        max_message: int = 4096,
        relp: bool = False,
        handover: bool = False,
        inputs: Any = INPUTS,
        guard: Any = None,
    ) -> None:
        labels = labels or model.Labels()
        self.modules = modules
        self.guard = guard or modules.guard.Guard(labels.guard, model.LokiLimits(), on_prune=lambda: None)
        resolver = modules.labels.Resolver(labels, TimePolicy(time or model.TimeSettings()), self.guard)
        self.packer = modules.hot.Packer(resolver, batch_size=batch_size, max_message=max_message, inputs=inputs)
        resolver.attach(self.packer)
        self.packer.now_ns = NOW
        self.relp = relp
        self.handover = handover
        self.conn = modules.hot.Conn(0 if relp else 1, b"192.0.2.7")
        self.bodies: list[bytes] = []
        self.rest = b""
        self.result = 0

    def feed(self, *pieces: bytes) -> "Packing":
        """Feed pieces as they come from a socket; what is not consumed is put in front of the next."""
        feed = self.packer.feed_relp if self.relp else self.packer.feed_syslog
        if self.handover:
            feed = self.packer.feed_handover
        for piece in pieces:
            buffer = bytearray(self.rest + piece)
            start = 0
            while True:
                self.result = feed(self.conn, buffer, start, len(buffer))
                start = self.conn.consumed
                assert 0 <= start <= len(buffer)
                if self.result != self.modules.hot.BATCH_FULL:
                    break
                self.bodies.append(bytes(self.packer.close()[0]))
            self.rest = bytes(buffer[start:])
        return self

    def finish(self) -> "Packing":
        buffer = bytearray(self.rest)
        while self.packer.finish_syslog(self.conn, buffer, 0, len(buffer)) == self.modules.hot.BATCH_FULL:
            self.bodies.append(bytes(self.packer.close()[0]))
        self.rest = b""
        return self

    def entries(self) -> list[Entry]:
        """All entries so far."""
        if self.packer.count:
            self.bodies.append(bytes(self.packer.close()[0]))
        return [entry for body in self.bodies for entry in read_batch(body)]


def record(
    text: bytes = b"hello",
    *,
    pri: int = 14,
    stamp: bytes = b"2026-09-21T14:13:19.5Z",
    host: bytes = b"web1",
    app: bytes = b"nginx",
    proc: bytes = b"-",
    msgid: bytes = b"-",
    sd: bytes = b"-",
) -> bytes:
    """An RFC 5424 record."""
    return b"<%d>1 %b %b %b %b %b %b %b" % (pri, stamp, host, app, proc, msgid, sd, text)


def octets(*records: bytes) -> bytes:
    return b"".join(b"%d %b" % (len(one), one) for one in records)


def relp_frames(*records: bytes, first: int = 2) -> bytes:
    return b"".join(b"%d syslog %d %b\n" % (number, len(one), one) for number, one in enumerate(records, first))
