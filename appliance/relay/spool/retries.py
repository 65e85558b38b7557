"""Takes dead letters that are to go to Loki again into the spool, with the reason recorded.

A letter leaves its file only when its batch is durable: killed in between, it goes twice rather than never.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from appliance.relay.loki.push_format import Entry, encode_stream, scan_streams
from appliance.relay.spool.dead_letter_store import RETRIES, SUFFIX, KeptLetter, decode
from appliance.relay.spool.spool import SpoolFull
from appliance.relay.spool.writer import ClosedBatch

log = logging.getLogger(__name__)

DEAD_LETTER = "dead_letter"
"""Structured metadata of a line that was a dead letter: why."""
_BATCH = 2**20
"""Bytes of a batch, about."""


class Retries:
    """The letters below one directory of dead letters that are to go again. For the loop's thread."""

    def __init__(self, directory: Path, put: Callable[[ClosedBatch], None]) -> None:
        self._directory = directory / RETRIES
        self._put = put

    async def send_again(self) -> int:
        """Bring what waits into the spool; return how many lines. What cannot be written now waits on."""
        number = 0
        loop = asyncio.get_running_loop()
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            try:
                letters = await loop.run_in_executor(None, read, path)
                if await self._write(letters):
                    await loop.run_in_executor(None, path.unlink)
                    number += len(letters)
            except OSError as error:
                log.error("dead letters cannot be sent again", extra={"key": "dead letters", "reason": error.strerror})
        if number:
            log.info("dead letters are being sent again", extra={"lines": number})
        return number

    async def _write(self, letters: list[KeptLetter]) -> bool:
        """Return whether all of them are on disk."""
        loop = asyncio.get_running_loop()
        results = []
        for tenant, group in in_batches(letters):
            written: asyncio.Future[SpoolFull | None] = loop.create_future()
            self._put(batch_of(tenant, group, written.set_result))
            results.append(written)
        return all(error is None for error in await asyncio.gather(*results))


def read(path: Path) -> list[KeptLetter]:
    """Return the letters of one file. Raise OSError."""
    letters = []
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError):
            letters.append(decode(line))
    return letters


def in_batches(letters: Iterable[KeptLetter]) -> Iterable[tuple[str, list[KeptLetter]]]:
    """Yield the letters by tenant, in groups of about a mebibyte."""
    tenants: dict[str, list[KeptLetter]] = {}
    for letter in letters:
        tenants.setdefault(letter.tenant, []).append(letter)
    for tenant, all_of_it in tenants.items():
        group: list[KeptLetter] = []
        size = 0
        for letter in all_of_it:
            group.append(letter)
            size += len(letter.entry.line) + 200
            if size >= _BATCH:
                yield tenant, group
                group, size = [], 0
        if group:
            yield tenant, group


def batch_of(tenant: str, letters: list[KeptLetter], done: Callable[[SpoolFull | None], None]) -> ClosedBatch:
    """A batch of letters of one tenant, by stream and in the order of time; why they were refused is metadata."""
    streams: dict[str, list[Entry]] = {}
    for letter in letters:
        others = tuple(pair for pair in letter.entry.metadata if pair[0] != DEAD_LETTER)
        entry = letter.entry._replace(metadata=(*others, (DEAD_LETTER, letter.reason)))
        streams.setdefault(letter.labels, []).append(entry)
    body = bytearray()
    for labels, entries in streams.items():
        body += encode_stream(labels, sorted(entries, key=lambda one: one.timestamp_ns))
    stamps = [letter.entry.timestamp_ns for letter in letters]
    return ClosedBatch(
        body, scan_streams(body), len(letters), min(stamps), max(stamps), tenant,
        must_wait=False, done=done, release=lambda body: None,
    )  # fmt: skip
