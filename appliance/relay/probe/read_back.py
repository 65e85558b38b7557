"""`test loki --verify`: pushes known entries over several streams and counts them back by query.

A 204 proves little, for it is the verdict of a push's last stream only; what a query counts is in
Loki. Each run marks its streams with an id of its own, so that runs do not count each other. What
keeps name, connection, TLS or authentication from working is found by `probe/check.py` before.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from appliance.config import model
from appliance.relay.loki.client import LokiClient
from appliance.relay.loki.label_syntax import format_labels
from appliance.relay.loki.push_format import Entry, encode_json, encode_stream, scan
from appliance.relay.loki.response import Answer, Diagnosis, Kind, diagnose
from appliance.relay.probe.check import Finding, check_loki
from appliance.relay.send.request import compress

JOB = "appliance-test"
_PUSH_PATHS = ("/loki/api/v1/push", "/api/prom/push")
_QUERY_LIMIT = 4 * 2**20
_BETWEEN_QUERIES = 0.5


@dataclass(frozen=True, slots=True)
class Counted:
    """One stream: entries sent, and entries found by query; None where no query was answered."""

    stream: str
    sent: int
    found: int | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of one run. `ok` None: pushed, but nothing could be counted back."""

    ok: bool | None
    counts: list[Counted]
    finding: Finding


def steps(loki: model.Loki) -> Iterator[Finding]:
    """Yield what stands between us and Loki, in order: name, connection, TLS, authentication, queries."""
    yield from check_loki(loki)


def verify(
    loki: model.Loki,
    run: str,
    *,
    streams: int = 5,
    entries: int = 20,
    timeout: float = 30.0,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Verification:
    """Push `streams` times `entries` lines marked with `run`, and count them back within `timeout` seconds."""
    client = LokiClient(loki)
    try:
        sent = [Counted(str(number), entries, None) for number in range(streams)]
        diagnosis = Diagnosis(Kind.STORED, "", "")
        for body in _pushes(loki, run, streams, entries, now()):
            diagnosis = max(diagnosis, diagnose(_push(client, loki, body), now()), key=_worse)
            if diagnosis.kind not in (Kind.STORED, Kind.PARTIAL):
                return Verification(False, sent, _refused(diagnosis))
        found, queried = _count_back(client, run, streams * entries, timeout, now, sleep)
    finally:
        client.close()
    if found is None:
        return Verification(None if diagnosis.kind is Kind.STORED else False, sent, _no_queries(queried))
    counts = [Counted(one.stream, one.sent, found.get(one.stream, 0)) for one in sent]
    return Verification(all(one.found == one.sent for one in counts), counts, _verdict(counts, diagnosis))


def _pushes(loki: model.Loki, run: str, streams: int, entries: int, now: float) -> Iterator[bytes]:
    """Yield all streams in one push, or in as few as Loki's limit on the size of a push allows."""
    start = int(now * 1e9) - streams * entries
    room = loki.limits.push_size // 2
    body = b""
    for number in range(streams):
        stream = encode_stream(
            format_labels({"job": JOB, "run": run, "stream": str(number)}),
            [
                Entry(start + number * entries + n, f"test {run}: stream {number}, entry {n + 1} of {entries}".encode())
                for n in range(entries)
            ],
        )
        if body and len(body) + len(stream) > room:
            yield body
            body = b""
        body += stream
    yield body


def _push(client: LokiClient, loki: model.Loki, body: bytes) -> Answer:
    if loki.encoding == "json":
        return client.push(encode_json(body, scan(body)), json=True)
    return client.push(compress(body))


def _worse(diagnosis: Diagnosis) -> int:
    return {Kind.STORED: 0, Kind.PARTIAL: 1}.get(diagnosis.kind, 2)


def _count_back(
    client: LokiClient,
    run: str,
    expected: int,
    timeout: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> tuple[dict[str, int] | None, Answer]:
    """Return entries by stream, as soon as all are there or the time is over; None if no query is answered."""
    query = quote(f'count_over_time({{job="{JOB}", run="{run}"}}[15m])')
    deadline = now() + timeout
    while True:
        answer = client.get(
            f"{base_path(client.target)}/loki/api/v1/query?query={query}&time={int((now() + 1) * 1e9)}",
            limit=_QUERY_LIMIT,
        )
        found = _counts(answer)
        if found is not None and sum(found.values()) >= expected:
            return found, answer
        # Loki that is being started, or over its limits, may answer later; a gateway without queries never will.
        hopeless = found is None and 300 <= answer.status < 500 and answer.status != 429
        if hopeless or now() >= deadline:
            return found, answer
        sleep(_BETWEEN_QUERIES)


def _counts(answer: Answer) -> dict[str, int] | None:
    if answer.status != 200:
        return None
    try:
        counts: dict[str, int] = {}
        for series in json.loads(answer.body)["data"]["result"]:
            # Structured metadata that Loki adds splits a stream into several series.
            stream = series["metric"]["stream"]
            counts[stream] = counts.get(stream, 0) + int(float(series["value"][1]))
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return counts


def base_path(target: str) -> str:
    """Return what stands before Loki's own paths in the path of a push URL."""
    path = urlsplit(target).path
    for known in _PUSH_PATHS:
        if path.endswith(known):
            return path.removesuffix(known)
    return path.rstrip("/")


def _refused(diagnosis: Diagnosis) -> Finding:
    return Finding("push", False, diagnosis.cause, diagnosis.remedy)


def _no_queries(answer: Answer) -> Finding:
    said = answer.detail or " ".join(answer.body.split())[:200] or f"HTTP {answer.code}"
    return Finding(
        "count",
        None,
        f"the push was accepted, but the query API is not reachable ({said}): a gateway may allow only pushes",
        "check for the lines in Grafana, or run this where Loki answers queries",
    )


def _verdict(counts: list[Counted], diagnosis: Diagnosis) -> Finding:
    sent, found = sum(one.sent for one in counts), sum(one.found or 0 for one in counts)
    detail = f"{found} of {sent} entries in {len(counts)} streams were counted back"
    if found == sent:
        return Finding("count", True, detail)
    if found > sent:
        return Finding("count", False, detail, "something between here and Loki duplicates pushes")
    if diagnosis.kind is Kind.PARTIAL:
        return Finding("count", False, f"{detail}: {diagnosis.cause}", diagnosis.remedy)
    return Finding(
        "count",
        False,
        f"{detail}, though Loki said that it took them all",
        "check Loki's limits for this tenant, streams first, and at discarded samples in its metrics",
    )
