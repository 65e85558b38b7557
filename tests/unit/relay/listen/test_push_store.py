"""From pushes to segments: gathered, split at a push to Loki, labels within bounds, answered when durable."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import cramjam
import pytest

from appliance.config import model
from appliance.config.units import Size
from appliance.relay.labels.cardinality import Guard
from appliance.relay.listen.push_decode import decode_push
from appliance.relay.listen.push_proto import PushedStream, encode_entry
from appliance.relay.listen.push_store import PushStore, TooManyTenants
from appliance.relay.loki.push_format import Entry, entries_of, scan
from appliance.relay.spool.spool import Segment, Spool, SpoolFull
from appliance.relay.spool.writer import SpoolWriter

NOW = time.time_ns()


class Rig:
    def __init__(self, directory: Path, config: model.Config) -> None:
        self.spool = Spool(config.relay.spool)
        self.writer = SpoolWriter(self.spool, asyncio.get_running_loop().call_soon_threadsafe)
        self.writer.start()
        self.own = Guard(config.labels.guard, config.loki.limits, on_prune=lambda: None)
        self.store = PushStore(config, self.spool, self.writer, self.own)

    def bodies(self) -> list[tuple[Segment, bytes]]:
        loaded = [self.spool.load(segment) for segment in self.spool.segments()]
        return [(one.segment, bytes(cramjam.snappy.decompress_raw(one.compressed))) for one in loaded]

    def entries(self) -> list[tuple[str, str, Entry]]:
        return [
            (segment.tenant, part.labels, entry)
            for segment, body in self.bodies()
            for part in scan(body)
            for entry in entries_of(body, part)
        ]


def config_of(directory: Path, batch: int = 64 * 1024, max_size: int = 2**30) -> model.Config:
    spool = model.Spool(path=str(directory), min_free=Size(0), max_size=Size(max_size), reserve=Size(0))
    relay = model.Relay(spool=spool, batch=model.BatchSettings(size=Size(batch)))
    return model.Config(loki=model.Loki(url="http://127.0.0.1:9/loki/api/v1/push"), relay=relay)


def run(directory: Path, scenario: Callable[[Rig], Awaitable[None]], **settings: int) -> None:
    async def whole() -> None:
        rig = Rig(directory, config_of(directory, **settings))
        await scenario(rig)
        rig.writer.stop(2)

    asyncio.run(asyncio.wait_for(whole(), 60))


def stream(labels: str, *lines: bytes, at: int = NOW) -> PushedStream:
    entries = b"".join(encode_entry(at + n, line, b"") for n, line in enumerate(lines))
    return PushedStream(labels, entries, len(lines), at, at + max(len(lines) - 1, 0))


def test_pushes_that_come_together_share_a_segment_and_each_is_answered_when_it_is_durable(tmp_path: Path) -> None:
    """One file and one sync for each push before (finding 10)."""

    async def scenario(rig: Rig) -> None:
        pushes = [rig.store.push("", [stream('{a="b"}', b"line %d" % n, at=NOW + n)]) for n in range(200)]
        await asyncio.gather(*pushes)
        assert len(rig.spool) <= 3
        assert sorted(entry.line for *_, entry in rig.entries()) == sorted(b"line %d" % n for n in range(200))
        first, *_ = rig.spool.segments()
        assert (first.oldest_ns, first.newest_ns - first.oldest_ns) == (NOW, first.entries - 1)

    run(tmp_path, scenario)


def test_tenants_do_not_share_a_segment(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await asyncio.gather(*(rig.store.push(tenant, [stream('{a="b"}', b"x")]) for tenant in ("", "red", "blue") * 5))
        assert sorted(segment.tenant for segment in rig.spool.segments()) == ["", "blue", "red"]

    run(tmp_path, scenario)


def test_no_segment_is_larger_than_a_push_to_loki_however_large_the_push(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        lines = [b"%06d" % n + b"x" * 500 for n in range(2000)]
        many = [stream(f'{{n="{n}"}}', b"y" * 900) for n in range(500)]
        await rig.store.push("", [stream('{a="b"}', *lines), *many])
        assert len(rig.spool) > 10
        for segment, body in rig.bodies():
            assert len(body) <= 64 * 1024
            parts = scan(body)
            assert segment.entries == sum(part.entries for part in parts)
            assert segment.oldest_ns == min(part.oldest_ns for part in parts)
            assert segment.newest_ns == max(part.newest_ns for part in parts)
        found = [entry.line for _, labels, entry in rig.entries() if labels == '{a="b"}']
        assert found == lines
        assert len(rig.entries()) == 2500

    run(tmp_path, scenario)


def test_a_line_larger_than_a_push_is_cut_and_marked(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.push("", [stream('{a="b"}', b"before", b"x" * 5_000_000, b"after")])
        lines = [entry.line for *_, entry in rig.entries()]
        assert [len(line) for line in lines] == [6, 256 * 1024, 5]
        assert all(len(body) <= 2 * 2**20 for _, body in rig.bodies())
        assert dict(rig.entries()[1][2].metadata)["repaired"] == "cut"

    run(tmp_path, scenario, batch=2 * 2**20)


def test_labels_over_the_guards_bounds_do_not_multiply_the_push(tmp_path: Path) -> None:
    """5.5 kB became a segment of 150 MB before (finding 1)."""

    async def scenario(rig: Rig) -> None:
        value = "x" * 60_000
        inner = b"\x0a" + bytes((0xE6, 0xD4, 0x03)) + f'{{a="{value}"}}'.encode() + b"\x12\x00" * 1500
        size = len(inner)
        raw = b"\x0a" + bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14)) + inner
        body = bytes(cramjam.snappy.compress_raw(raw))
        assert len(body) < 6000
        await rig.store.push("", decode_push(body, "application/x-protobuf", "", 2**24))
        assert sum(len(body) for _, body in rig.bodies()) < 400_000
        (_, labels, first), *others = rig.entries()
        assert labels == "{}"
        assert len(others) == 1499
        metadata = dict(first.metadata)
        assert metadata["a"].startswith("x" * 20_000)
        assert "labels_left_out" in metadata

    run(tmp_path, scenario)


def test_labels_over_the_guards_bounds_are_kept_with_each_entry_where_that_is_little(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        labels = ", ".join(f'l{n:02}="value {n}"' for n in range(30))
        await rig.store.push("", [stream(f"{{{labels}}}", *(b"a line of some length %d" % n for n in range(100)))])
        entries = rig.entries()
        assert len(entries) == 100
        for _, kept, entry in entries:
            names = {pair.partition("=")[0] for pair in kept.strip("{}").split(", ")}
            assert names | dict(entry.metadata).keys() == {f"l{n:02}" for n in range(30)}

    run(tmp_path, scenario)


def test_each_tenant_has_a_guard_of_its_own_and_there_are_so_many_and_no_more(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        limit = model.Guard().max_streams
        many = [stream(f'{{job="x", n="{n}"}}', b"y") for n in range(limit + 500)]
        await rig.store.push("red", many)
        assert 0 < rig.store.tenants["red"] <= limit
        assert rig.own.stats.active == 0
        with pytest.raises(TooManyTenants):
            for n in range(1000):
                await asyncio.wait_for(rig.store.push(f"tenant{n}", [stream('{a="b"}', b"x")]), 5)
        assert len(rig.store.tenants) <= 200
        await rig.store.push("red", [stream('{a="b"}', b"those that are known go on")])

    run(tmp_path, scenario)


def test_labels_of_all_tenants_together_take_a_bounded_memory(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        for number in range(40):
            streams = [stream(f'{{n="{number}-{n}", v="{n:0>1500}"}}', b"x") for n in range(500)]
            await rig.store.push(f"t{number % 10}", streams)
        assert rig.store._memory.used <= rig.store._memory.max * 1.1
        assert len(rig.entries()) == 20_000

    run(tmp_path, scenario, batch=2 * 2**20)


def test_a_push_that_the_spool_has_no_room_for_is_refused_whole_or_in_part_but_never_silently(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        import os

        with pytest.raises(SpoolFull):
            await rig.store.push("", [stream('{a="b"}', *(os.urandom(20_000) for _ in range(20)))])
        # What came with it and was refused with it is taken once there is room.
        for segment in rig.spool.segments():
            rig.spool.remove(segment)
        await rig.store.push("", [stream('{a="b"}', b"later")])

    run(tmp_path, scenario, max_size=200_000)
