"""What the receiver's numbers say: who does what wrong, and what to change."""

from pathlib import Path

import pytest

from appliance.config import model
from appliance.relay.receive.counts import Counts, Trouble, read, write
from appliance.relay.report.receiver import RECENT, STALE, receiver_problems, receiver_status

NOW = 1_000_000.0


def problems(counts: Counts, listeners: model.Listeners | None = None) -> list[tuple[str, str]]:
    counts.written = counts.written or NOW
    status = receiver_status(counts, NOW)
    assert status is not None
    return list(receiver_problems(status, listeners or model.Listeners(), NOW))


def test_a_sender_of_tls_is_named_with_the_port_to_use() -> None:
    counts = Counts(port=514, foreign={"tls": Trouble(3, "10.0.0.9", NOW - 60)})
    [(problem, remedy)] = problems(counts, model.Listeners(tls=model.TlsListener()))
    assert problem == "10.0.0.9 speaks TLS to the plain port 514"
    assert remedy == "point 10.0.0.9 to port 6514"
    [(_, remedy)] = problems(counts)
    assert "listeners.tls" in remedy


@pytest.mark.parametrize(("key", "name"), [("http", "HTTP"), ("ssh", "SSH"), ("rdp", "RDP"), ("relp", "RELP")])
def test_other_protocols_are_named_too(key: str, name: str) -> None:
    [(problem, remedy)] = problems(Counts(port=514, foreign={key: Trouble(1, "10.0.0.9", NOW)}))
    assert problem == f"10.0.0.9 speaks {name} to the plain port 514"
    assert "10.0.0.9" in remedy


def test_who_sends_no_text_at_all_is_named() -> None:
    [(problem, _)] = problems(Counts(port=514, unreadable=Trouble(1, "10.0.0.9", NOW)))
    assert problem.startswith("10.0.0.9 sends no text to port 514")


def test_what_was_long_ago_is_no_problem_any_more() -> None:
    long_ago = {"tls": Trouble(3, "10.0.0.9", NOW - RECENT - 1)}
    assert problems(Counts(foreign=long_ago, refused={"total": Trouble(3, "10.0.0.9", NOW - RECENT - 1)})) == []


def test_held_back_senders_and_a_refused_configuration_are_problems() -> None:
    found = problems(Counts(blocked="no space left", blocked_since=NOW - 5, reload_failure="cannot listen on :514"))
    assert ["no space left" in found[0][0], "cannot listen on :514" in found[1][0]] == [True, True]


@pytest.mark.parametrize(
    ("bound", "key"), [("sender", "max_connections_per_sender"), ("total", "max_connections"), ("files", "journalctl")]
)
def test_refused_connections_say_which_bound(bound: str, key: str) -> None:
    [(_, remedy)] = problems(Counts(refused={bound: Trouble(1, "10.0.0.9", NOW)}))
    assert key in remedy


def test_numbers_that_nobody_writes_any_more_say_nothing_about_now() -> None:
    assert problems(Counts(written=NOW - STALE - 1, blocked="no space left")) == []


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    counts = Counts(started=1.0, messages=5, cut=Trouble(1, "::1", 2.0), refused={"total": Trouble(1, "::1", 3.0)})
    write(counts, tmp_path / "stats.json")
    assert read(tmp_path / "stats.json") == counts
    assert read(tmp_path / "none.json") is None
    (tmp_path / "stats.json").write_bytes(b"{half")
    assert read(tmp_path / "stats.json") is None
    assert receiver_status(None, NOW) is None
