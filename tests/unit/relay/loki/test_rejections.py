"""The same refusal is recognised in the words of every Loki, and in what gateways wrap around them."""

import html
import json

import pytest

from appliance.relay.loki.limit_table import Reason
from appliance.relay.loki.rejections import rejections_of

STREAM = '{app="x & y", job="it\'s"}'
SAID = {
    Reason.LINE_TOO_LONG: [
        f"Max entry size '262144' bytes exceeded for stream '{STREAM}' while adding an entry",
        f"max entry size '262144' bytes exceeded for stream '{STREAM}' while adding an entry",
    ],
    Reason.TOO_OLD: [
        f"entry for stream '{STREAM}' has timestamp too old: 2021-01-01 00:00:00 +0000 UTC",
        f"stream '{STREAM}' has timestamp too old: 2026-11-15T07:50:06Z, oldest acceptable timestamp is: 2026-11-16",
    ],
    Reason.STREAM_RATE: [
        f"Per stream rate limit exceeded (limit: 3 MB/sec) while attempting to ingest for stream '{STREAM}' totaling",
        f"per-stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for stream '{STREAM}' totaling",
    ],
    Reason.STREAM_LIMIT: [f"maximum active stream limit exceeded when trying to create stream {STREAM}, reduce"],
}


@pytest.mark.parametrize(("reason", "said"), [(reason, one) for reason, texts in SAID.items() for one in texts])
@pytest.mark.parametrize(
    "wrapped",
    [
        str,
        lambda said: f"rpc error: code = Code(400) desc = {said}",
        lambda said: json.dumps({"code": 400, "errors": [{"message": said}]}),
        lambda said: f"<html><body><pre>{html.escape(said)}</pre></body></html>",
    ],
    ids=["plain", "gRPC", "JSON", "HTML"],
)
def test_a_refusal_is_recognised_with_its_stream(reason: Reason, said: str, wrapped: "type[str]") -> None:
    [rejection] = rejections_of(wrapped(said))
    assert (rejection.reason, rejection.stream) == (reason, STREAM)


@pytest.mark.parametrize(
    "body", ["", "{", "[" * 5000, "<", "<html>", '{"a": 1}', "\x00\xff", "429 Too Many Requests", "a" * 100_000]
)
def test_what_says_nothing_is_no_refusal(body: str) -> None:
    assert rejections_of(body) == ()


def test_what_stands_in_labels_says_nothing() -> None:
    odd = "{app=\"max entry size '1' bytes exceeded, too many streams\"}"
    [rejection] = rejections_of(f"entry for stream '{odd}' has timestamp too new: 2026-11-15T07:50:06Z")
    assert (rejection.reason, rejection.stream) == (Reason.TOO_NEW, odd)
