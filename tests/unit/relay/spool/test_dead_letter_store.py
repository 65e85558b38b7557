"""Dead letters can be listed, read, chosen to go again and dropped, from another process than the relay's."""

import multiprocessing
import os
from pathlib import Path

import pytest

from appliance.relay.loki.push_format import Entry
from appliance.relay.spool.dead_letter_store import RETRIES, DeadLetterStore
from appliance.relay.spool.dead_letters import DeadLetter, DeadLetters
from appliance.relay.spool.retries import read


def kept(directory: Path, count: int = 5, max_size: int = 10**6) -> DeadLetters:
    dead = DeadLetters(directory, max_size)
    for number in range(count):
        reason = "refused" if number % 2 else "too_old"
        metadata = (("k", "v\udcff"), ("k", "again")) if number == 3 else (("pid", "7"),)
        entry = Entry(number, b"line %d \xff\x1b[2J" % number, metadata)
        dead.keep([DeadLetter("t", '{a="b"}', entry, reason, "Loki said no")], lambda: None)
    return dead


def test_letters_are_listed_in_order_exactly_as_they_came(tmp_path: Path) -> None:
    kept(tmp_path / "dead")
    letters = list(DeadLetterStore(tmp_path / "dead").list())
    assert [letter.entry.timestamp_ns for letter in letters] == [0, 1, 2, 3, 4]
    assert letters[1].entry.line == b"line 1 \xff\x1b[2J"
    assert letters[3].entry.metadata == (("k", "v\udcff"), ("k", "again"))
    assert (letters[0].reason, letters[0].answer, letters[0].tenant) == ("too_old", "Loki said no", "t")
    assert len({letter.id for letter in letters}) == 5


def test_a_letter_is_read_by_its_id_and_keeps_it_when_others_go(tmp_path: Path) -> None:
    kept(tmp_path / "dead")
    store = DeadLetterStore(tmp_path / "dead")
    wanted = list(store.list())[3]
    assert store.drop(lambda letter: letter.reason == "too_old") == 3
    assert store.read(wanted.id) == wanted
    with pytest.raises(KeyError):
        store.read("0123456789")


def test_letters_of_version_1_are_read(tmp_path: Path) -> None:
    (tmp_path / "refused-00000001.jsonl").write_text(
        '{"kept_at": 1.5, "reason": "refused", "answer": "no", "tenant": "", "labels": "{a=\\"b\\"}", '
        '"timestamp_ns": "7", "line": "text", "metadata": {"k": "v"}}\n{"cut in the mid'
    )
    [letter] = DeadLetterStore(tmp_path).list()
    assert letter.entry == Entry(7, b"text", (("k", "v"),))


def test_what_is_to_go_again_leaves_the_files_and_waits_whole(tmp_path: Path) -> None:
    kept(tmp_path / "dead")
    store = DeadLetterStore(tmp_path / "dead")
    before = list(store.list())
    assert store.retry(lambda letter: letter.reason == "refused") == 2
    assert [letter.reason for letter in store.list()] == ["too_old"] * 3
    assert store.waiting() == 2 and store.reasons() == {"too_old": 3}
    [path] = (tmp_path / "dead" / RETRIES).iterdir()
    assert read(path) == [before[1], before[3]]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_stays_the_relays(tmp_path: Path) -> None:
    kept(tmp_path / "dead")
    for path in [tmp_path / "dead", *(tmp_path / "dead").iterdir()]:
        os.chown(path, 4242, 4343)
    store = DeadLetterStore(tmp_path / "dead")
    store.retry(lambda letter: letter.reason == "refused")
    made = list((tmp_path / "dead").rglob("*"))
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(4242, 4343)}


def test_counts_by_reason_follow_the_files(tmp_path: Path) -> None:
    dead = kept(tmp_path / "dead")
    assert dead.store.reasons() == {"too_old": 3, "refused": 2}
    DeadLetterStore(tmp_path / "dead").drop(lambda letter: letter.reason == "too_old")
    assert dead.store.reasons() == {"refused": 2}
    dead.keep([DeadLetter("t", "{}", Entry(9, b"x"), "refused", "")], lambda: None)
    assert dead.store.reasons() == {"refused": 3}


def _write(directory: Path, count: int) -> None:
    dead = DeadLetters(directory, 10**7)
    for number in range(count):
        dead.keep([DeadLetter("t", "{}", Entry(number, b"new"), "new", "")], lambda: None)


def test_nothing_is_lost_while_the_relay_writes_and_another_process_drops(tmp_path: Path) -> None:
    kept(tmp_path / "dead", 20)
    writer = multiprocessing.get_context("spawn").Process(target=_write, args=(tmp_path / "dead", 200))
    writer.start()
    store = DeadLetterStore(tmp_path / "dead")
    dropped = 0
    while writer.is_alive():
        first = next((letter.id for letter in store.list() if letter.reason != "new"), "")
        dropped += store.drop(lambda letter, first=first: letter.id == first)  # type: ignore[misc]
    writer.join()
    left = list(store.list())
    assert [letter.entry.timestamp_ns for letter in left if letter.reason == "new"] == list(range(200))
    assert len(left) == 220 - dropped
