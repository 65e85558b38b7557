"""What is syslog and what is not, by a connection's first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.relay.receive.foreign import ALL, HTTP, recognize


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"<13>Nov 27 06:30:01 web app: GET / HTTP/1.1\n",
        b"GET /index.html took 12 ms\n",
        b"GET / HTTP/1.1",  # the line may go on
        b"2026-11-27T06:30:01Z CEF:0|X\n",
        b"0 open windows\n",
        b"1 open door\n",
        b"SSH session opened\n",
        b"\x16<13>a line from a broken device\n",
        b"\x03\x00\x00",
        b"TLS handshake failed\n",
    ],
)
def test_what_may_be_a_message_is_one(first: bytes) -> None:
    assert recognize(first) is None


@pytest.mark.parametrize(
    ("first", "key"),
    [
        (b"\x16\x03\x01\x00\xf4", "tls"),
        (b"\x16\x03\x03\x0a\x0a", "tls"),
        (b"\x80\x2e\x01\x03\x01", "tls"),
        (b"POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\n", "http"),
        (b"CONNECT loki.example.org:443 HTTP/1.0\n", "http"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http"),
        (b"SSH-2.0-Go\r\n", "ssh"),
        (b"\x03\x00\x00\x2f\x2a\xe0\x00\x00\x00\x00\x00Cookie", "rdp"),
        (b"0 open 40 relp_version=1", "relp"),
    ],
)
def test_another_protocol_is_recognized(first: bytes, key: str) -> None:
    assert recognize(first) is ALL[key]


@given(st.integers(0, 191), st.text(st.characters(codec="utf-8"), max_size=50))
def test_what_begins_with_a_priority_is_syslog(priority: int, text: str) -> None:
    assert recognize(f"<{priority}>{text}".encode()) is None


def test_the_answer_to_http_is_as_long_as_it_says() -> None:
    head, body = HTTP.answer.split(b"\r\n\r\n")
    assert int(head.rpartition(b"Content-Length: ")[2]) == len(body)
