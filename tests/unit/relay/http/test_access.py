"""Metrics and status are for this machine, for addresses that are listed, and for who has the token."""

from pathlib import Path

import msgspec

from appliance.config import model
from appliance.relay.http.access import Ranges, Readers
from appliance.relay.http.messages import Request


def request(peer: str, authorization: str = "", *, local: bool = False) -> Request:
    headers = {"authorization": authorization} if authorization else {}
    return Request("GET", "/status", "", headers, b"", peer, local)


def status(readers: Readers, asked: Request) -> int:
    refusal = readers.check(asked)
    return 200 if refusal is None else refusal.status


def test_this_machine_reads_and_nobody_else_without_a_word(tmp_path: Path) -> None:
    readers = Readers(model.HttpAccess())
    assert status(readers, request("127.0.0.1", local=True)) == 200
    assert status(readers, request("10.0.0.9")) == 403


def test_addresses_and_tokens_open_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    token = {"token_file": str(tmp_path / "token")}
    readers = Readers(msgspec.convert({"from": ["10.0.0.0/24", "2001:db8::/32"], **token}, model.HttpAccess))
    for peer, authorization, expected in (
        ("10.0.0.9", "", 200),
        ("2001:db8::5", "", 200),
        ("10.0.1.9", "", 401),
        ("10.0.1.9", "Bearer abd", 401),
        ("10.0.1.9", "Bearer abc", 200),
        ("", "", 401),
        ("nonsense", "", 401),
    ):
        assert status(readers, request(peer, authorization)) == expected, (peer, authorization)


def test_an_address_of_the_other_family_is_in_no_range() -> None:
    ranges = Ranges(["10.0.0.0/8", "::1"])
    assert "10.1.1.1" in ranges and "::1" in ranges
    assert "::ffff:10.1.1.1" not in ranges and "11.0.0.1" not in ranges
