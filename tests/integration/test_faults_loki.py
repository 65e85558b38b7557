"""Whatever Loki does, nothing acknowledged is lost: each fault strikes under load and goes away.

Sent is what the relay acknowledged over RELP; arrived is what Loki holds. Duplicates: none, unless an
answer is lost after Loki has stored the push, then at most the pushes whose answers were lost.
"""

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.conftest import StartRelay
from tests.harness.load import RelpLoad
from tests.harness.net import wait_until
from tests.harness.processes import Relay
from tests.harness.senders import rfc5424
from tests.loki_double import InProcessLoki, LokiUnderTest, RealLoki, Tally

RATE = 4000  # messages a second
PUSH = 3 * RATE  # messages in one push at most: batches close after a second, pushes may join some


def arrives(loki: LokiUnderTest, sent: int, timeout: float = 30) -> Tally:
    """Wait until nothing is missing; then nothing more may come."""
    wait_until(lambda: loki.count() >= sent, timeout, what=lambda: f"{loki.count()} of {sent} arrived; {loki.stats()}")
    wait_until(lambda: loki.tally(sent).lost == 0, 10, what=lambda: str(loki.tally(sent)))
    return loki.tally(sent)


def nothing_hidden(loki: LokiUnderTest) -> bool:
    """No entry vanished under a 204 that spoke for another stream."""
    return not any(loki.stats()["hidden"].values())


Fault = tuple[str, dict[str, Any]]
FAULTS: dict[str, list[Fault]] = {
    "refuse": [("refuse", {})],
    "hang": [("hang", {})],
    "reset": [("reset", {})],
    "garbage": [("garbage", {}), ("cut", {})],
    "slow": [("slow", {"seconds": 0.7})],
    "429": [
        ("status", {"status": 429, "headers": {"Retry-After": "1"}, "body": "ingestion rate limit exceeded for user x"})
    ],
    "5xx": [
        ("status", {"status": 500, "body": "internal error"}),
        ("status", {"status": 502, "body": "<html>bad gateway</html>"}),
        ("status", {"status": 503, "headers": {"Retry-After": "1"}}),
        ("status", {"status": 504}),
    ],
    "403": [("status", {"status": 403, "body": "forbidden"})],
    "302": [("status", {"status": 302, "headers": {"Location": "/login"}})],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_faults_of_loki_under_load_lose_nothing_and_repeat_nothing(
    loki: LokiUnderTest, start_relay: StartRelay, faults: list[Fault]
) -> None:
    # Short where nothing else ends the wait; elsewhere a busy machine must not make it the fault.
    relay = start_relay(loki.push_url, {"loki": {"timeout": "1s" if ("hang", {}) in faults else "10s"}})
    load = RelpLoad(relay.relp, rate=RATE)
    wait_until(lambda: loki.count() > 0, 20)
    for kind, details in faults:
        before = loki.stats()["pushes"]
        loki.fault(kind, **details)
        time.sleep(1.5 if len(faults) == 1 else 0.8)
        if kind != "refuse":
            wait_until(lambda: loki.stats()["pushes"] > before, 40)  # noqa: B023 — called at once
    loki.clear()
    time.sleep(0.3)
    tally = arrives(loki, load.finish(), 60)
    assert (tally.lost, tally.duplicates, tally.strange) == (0, 0, [])
    assert nothing_hidden(loki)


@pytest.mark.parametrize("kind", ["reset", "garbage", "cut"])
def test_answers_lost_after_storing_repeat_no_more_than_those_pushes(
    loki: LokiUnderTest, start_relay: StartRelay, kind: str
) -> None:
    relay = start_relay(loki.push_url)
    load = RelpLoad(relay.relp, rate=RATE)
    wait_until(lambda: loki.count() > 0, 20)
    loki.fault(kind, times=2, stored=True)
    time.sleep(3)
    tally = arrives(loki, load.finish())
    assert tally.lost == 0
    assert tally.duplicates <= 2 * PUSH


def test_retry_after_is_honoured(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    """Backoff alone would try every 100 ms to 1 s; 3 s were asked for."""
    assert isinstance(loki, InProcessLoki | RealLoki)  # the front's times of arrival are asked for
    relay = start_relay(loki.push_url, {"loki": {"connections": 1}})
    loki.fault("status", times=1, status=429, headers={"Retry-After": "3"}, body="ingestion rate limit exceeded")
    load = RelpLoad(relay.relp, total=100)
    assert arrives(loki, load.finish(stop=False)).lost == 0
    first, second = loki.front.arrivals[:2]
    assert 2.9 <= second - first < 6


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (413, "request body too large"),
        (
            500,
            "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5235045 vs. 4194304)",
        ),
    ],
)
def test_too_large_is_split_and_not_waited_for(
    loki: LokiUnderTest, start_relay: StartRelay, status: int, body: str
) -> None:
    relay = start_relay(loki.push_url)
    loki.fault("status", times=3, status=status, body=body)
    load = RelpLoad(relay.relp, total=3000)
    tally = arrives(loki, load.finish(stop=False))
    assert (tally.lost, tally.duplicates) == (0, 0)


def test_a_loki_with_a_smaller_message_limit_takes_everything_in_parts(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    loki.set_limits(max_message=100_000)
    relay = start_relay(loki.push_url)
    load = RelpLoad(relay.relp, total=5000, size=500)
    tally = arrives(loki, load.finish(stop=False))
    assert (tally.lost, tally.duplicates) == (0, 0)


def test_260_blocked_ingestion_is_no_success(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    loki.fault("status", status=260, body="ingestion blocked for user fake until '2030-01-01' with status code '260'")
    load = RelpLoad(relay.relp, total=1000)
    sent = load.finish(stop=False)
    time.sleep(1.5)
    assert loki.count() == 0
    assert relay.spooled() > 0
    loki.clear()
    tally = arrives(loki, sent)
    assert (tally.lost, tally.duplicates) == (0, 0)


@pytest.mark.parametrize("status", [401, 404])
def test_a_wrong_configuration_holds_the_spool_and_says_so(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, status: int
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr3t-t0ken-of-the-tests\n")
    token.chmod(0o600)
    relay = start_relay(loki.push_url, {"loki": {"bearer_token_file": str(token)}})
    loki.fault("status", status=status, body="no")
    load = RelpLoad(relay.relp, total=1000)
    sent = load.finish(stop=False)
    wait_until(lambda: str(status) in relay.output, what="the log says what Loki answered")
    assert relay.spooled() > 0
    _, shown = relay.get("/status")
    assert str(status) in shown
    assert "s3cr3t" not in relay.output + shown + relay.get("/metrics")[1]
    assert b"s3cr3t" not in Path(f"/proc/{relay.pid}/cmdline").read_bytes()
    assert loki.count() == 0
    loki.clear()
    assert arrives(loki, sent).lost == 0


# ---- 400 about single entries --------------------------------------------------------------------


def test_lines_that_loki_finds_too_long_are_cut_and_the_rest_goes_through(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    """Loki's limit is lower than what the relay was told: the 400 is how it learns."""
    loki.set_limits(max_line_size=1000)
    relay = start_relay(loki.push_url)
    load = RelpLoad(relay.relp, total=2000, make=lambda n: rfc5424(f"n={n} ".ljust(3000 if n % 100 == 7 else 100, "x")))
    tally = arrives(loki, load.finish(stop=False))
    assert (tally.lost, tally.duplicates) == (0, 0)
    assert max(map(len, loki.lines())) <= 1000


def test_entries_that_loki_finds_too_old_or_too_new_get_another_time(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    loki.set_limits(max_age=600, max_ahead=30)
    relay = start_relay(loki.push_url)
    offsets = {3: -3600.0, 5: 200.0}
    now = time.time()
    load = RelpLoad(
        relay.relp,
        total=2000,
        make=lambda n: rfc5424(f"n={n}", at=now + offsets.get(n % 100, 0.0), host=f"host{n % 5}"),
    )
    tally = arrives(loki, load.finish(stop=False))
    assert (tally.lost, tally.duplicates) == (0, 0)
    assert nothing_hidden(loki)


def test_entries_behind_their_stream_are_never_hidden_by_a_204(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    """One host's clock is two hours late half of the time; its stream is one of many in each push."""
    relay = start_relay(loki.push_url)
    now = time.time()

    def message(n: int) -> bytes:
        late = n % 10 == 0 and n % 20 == 0
        return rfc5424(f"n={n}", host=f"host{n % 10}", at=now - (7200 if late else 0))

    load = RelpLoad(relay.relp, total=10000, rate=5000, make=message)
    tally = arrives(loki, load.finish(stop=False))
    assert (tally.lost, tally.duplicates) == (0, 0)
    assert nothing_hidden(loki)


def test_a_stream_over_its_rate_at_loki_is_never_hidden_by_a_204(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    """Loki's per-stream limit is what the relay was told; one stream brings far more."""
    loki.set_limits(per_stream_rate=300_000, per_stream_burst=600_000)
    limits = {"stream_rate": "300kB/s", "stream_burst": "600kB"}
    relay = start_relay(loki.push_url, {"loki": {"limits": limits}})
    load = RelpLoad(
        relay.relp, total=10000, make=lambda n: rfc5424(f"n={n} ".ljust(250, "x"), host=f"host{n % 4 and 1}")
    )
    tally = arrives(loki, load.finish(stop=False), 40)
    assert (tally.lost, tally.duplicates) == (0, 0)
    assert nothing_hidden(loki)


def test_streams_that_loki_has_no_room_for_give_up_labels(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    """Loki allows fewer streams than told. Its 429 names one stream and stores the others, or a 204 hides it."""
    loki.set_limits(max_streams=20)
    relay = start_relay(loki.push_url, {"labels": {"include": ["host"]}})
    # What gave up its labels goes to a stream that Loki has already.
    first = f'{{"streams": [{{"stream": {{"job": "syslog"}}, "values": [["{time.time_ns()}", "first"]]}}]}}'
    request = urllib.request.Request(loki.push_url, first.encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=5).close()
    load = RelpLoad(relay.relp, total=4000, rate=2000, make=lambda n: rfc5424(f"n={n}", host=f"host{n % 40}"))
    sent = load.finish(stop=False)
    # What the first pushes may have stored unseen comes twice, so the number alone does not tell.
    wait_until(lambda: loki.tally(sent).lost == 0, 30, what=lambda: f"{loki.tally(sent)}; {loki.stats()}")
    tally = loki.tally(sent)
    assert tally.duplicates <= PUSH
    moved = [metadata for labels, _, _, metadata in loki.entries() if "host" not in labels and "host" in metadata]
    assert len(moved) == 4000 // 40 * 21


def test_a_lower_rate_at_loki_than_told_still_gets_every_line(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    loki.set_limits(per_stream_rate=400_000, per_stream_burst=400_000)
    relay = start_relay(loki.push_url)
    load = RelpLoad(
        relay.relp, total=8000, rate=4000, make=lambda n: rfc5424(f"n={n} ".ljust(250, "x"), host=f"host{n % 4 and 1}")
    )
    tally = arrives(loki, load.finish(stop=False), 60)
    assert tally.lost == 0
    assert tally.duplicates <= PUSH


def test_the_tenants_rate_is_waited_out(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    loki.set_limits(ingestion_rate=500_000, ingestion_burst=1_000_000)
    relay = start_relay(loki.push_url)
    load = RelpLoad(relay.relp, total=6000, size=250)
    tally = arrives(loki, load.finish(stop=False), 60)
    assert (tally.lost, tally.duplicates) == (0, 0)


# ---- TLS and DNS ---------------------------------------------------------------------------------


@pytest.fixture
def tls_loki() -> Iterator[tuple[InProcessLoki, trustme.CA, trustme.CA]]:
    """A Loki behind TLS, the authority that its relay trusts, and another one."""
    import ssl

    trusted, other = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted.issue_cert("127.0.0.1").configure_cert(context)
    loki = InProcessLoki(tls=context)
    yield loki, trusted, other
    loki.close()


def trusting(start_relay: StartRelay, loki: InProcessLoki, authority: trustme.CA, directory: Path) -> Relay:
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return start_relay(loki.push_url, {"loki": {"tls": {"ca_file": str(ca_file)}}})


@pytest.mark.parametrize("wrong", ["another authority", "another name", "expired"])
def test_a_certificate_that_goes_wrong_stops_pushes_and_loses_nothing(
    tls_loki: tuple[InProcessLoki, trustme.CA, trustme.CA], start_relay: StartRelay, tmp_path: Path, wrong: str
) -> None:
    import datetime
    import ssl

    loki, trusted, other = tls_loki
    relay = trusting(start_relay, loki, trusted, tmp_path)
    load = RelpLoad(relay.relp, rate=RATE)
    wait_until(lambda: loki.count() > 0, 20)
    good, bad = loki.front.tls, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if wrong == "another authority":
        other.issue_cert("127.0.0.1").configure_cert(bad)
    elif wrong == "another name":
        trusted.issue_cert("loki.example.org").configure_cert(bad)
    else:
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        trusted.issue_cert("127.0.0.1", not_after=past).configure_cert(bad)
    loki.front.tls = bad
    loki.front.drop_connections()
    time.sleep(0.5)
    before = loki.count()
    time.sleep(1.5)
    assert loki.count() == before
    assert "certificate" in relay.get("/status")[1].lower()
    loki.front.tls = good
    tally = arrives(loki, load.finish())
    assert tally.lost == 0
    assert tally.duplicates <= PUSH


def test_tls_handshakes_that_break_off_lose_nothing(
    tls_loki: tuple[InProcessLoki, trustme.CA, trustme.CA], start_relay: StartRelay, tmp_path: Path
) -> None:
    """The port answers in plain text for a while, as a misconfigured proxy does."""
    loki, trusted, _ = tls_loki
    relay = trusting(start_relay, loki, trusted, tmp_path)
    load = RelpLoad(relay.relp, rate=RATE)
    wait_until(lambda: loki.count() > 0, 20)
    context, loki.front.tls = loki.front.tls, None
    loki.front.drop_connections()
    time.sleep(1.5)
    loki.front.tls = context
    tally = arrives(loki, load.finish())
    assert tally.lost == 0
    assert tally.duplicates <= PUSH


def test_a_name_that_does_not_resolve_is_waited_for(loki: LokiUnderTest, tmp_path: Path, processes: list[Any]) -> None:
    """The relay lives in a mount namespace with its own /etc/hosts, which learns the name later."""
    hosts, resolver = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text("127.0.0.1 localhost\n")
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    relay = Relay(tmp_path / "relay", loki.push_url.replace("127.0.0.1", "loki.test"))
    prepare = f'mount --bind {hosts} /etc/hosts && mount --bind {resolver} /etc/resolv.conf && exec "$@"'
    relay.command = ["unshare", "--mount", "sh", "-c", prepare, "sh", *relay.command]
    processes.append(relay)
    relay.up()
    load = RelpLoad(relay.relp, rate=2000)
    wait_until(lambda: "loki.test" in relay.get("/status")[1] and relay.spooled() > 0)
    time.sleep(1)
    assert loki.count() == 0
    with hosts.open("a") as file:
        file.write("127.0.0.1 loki.test\n")
    wait_until(lambda: loki.count() > 0, 10)
    tally = arrives(loki, load.finish())
    assert (tally.lost, tally.duplicates) == (0, 0)
