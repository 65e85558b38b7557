"""The table by which a process knows what the one before it had taken out of its sockets."""

import os
import socket
from collections.abc import Iterator

import pytest

from appliance.relay.receive.connection import Connection, Framing
from appliance.relay.receive.table import Table, read_tables


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made = [end for _ in range(3) for end in socket.socketpair()]
    yield made
    for one in made:
        one.close()


def connection(sock: socket.socket, framing: Framing) -> Connection:
    return Connection(sock, "10.0.0.9", 3, framing)


def test_what_is_saved_is_read_by_whoever_has_the_file(sockets: list[socket.socket]) -> None:
    table = Table(10, 1000, 1)
    framings = [Framing(rest=b"<13>half a mess"), Framing(octets=True, discard=70000), Framing(skip_line=True)]
    made = [connection(sock, framing) for sock, framing in zip(sockets, framings, strict=False)]
    for one in made:
        table.save(one)
    other = os.dup(table.descriptor)
    found = read_tables([other])
    assert {inode: entry.framing for inode, entry in found.items()} == {
        one.inode: framing for one, framing in zip(made, framings, strict=True)
    }
    assert {entry.sender for entry in found.values()} == {"10.0.0.9"}


def test_a_place_is_free_again_when_its_connection_is_closed(sockets: list[socket.socket]) -> None:
    table = Table(2, 100_000, 1)
    first, second, third = (connection(sock, Framing(rest=b"x" * 90_000)) for sock in sockets[:3])
    for one in (first, second, third):
        table.save(one)
    assert third.place == 0  # no place left: nothing is saved, nothing fails
    table.forget(first)
    table.save(third)
    assert set(read_tables([table.descriptor])) == {second.inode, third.inode}
    assert os.fstat(table.descriptor).st_blocks * 512 < 4 * 100_000


def test_a_long_message_that_has_ended_keeps_no_memory(sockets: list[socket.socket]) -> None:
    table = Table(6, 1_000_000, 1)
    made = [connection(sock, Framing(rest=b"x" * 900_000)) for sock in sockets]
    for one in made:
        table.save(one)
        one.rest = b"<13>short"
        table.save(one)
    assert {entry.framing.rest for entry in read_tables([table.descriptor]).values()} == {b"<13>short"}
    assert os.fstat(table.descriptor).st_blocks * 512 <= 7 * 4096


def test_of_two_tables_the_newer_is_right(sockets: list[socket.socket]) -> None:
    old, new = Table(2, 100, 1), Table(2, 100, 2)
    one = connection(sockets[0], Framing(rest=b"old"))
    old.save(one)
    one.place, one.rest = 0, b"newer"
    new.save(one)
    assert read_tables([new.descriptor, old.descriptor])[one.inode].framing.rest == b"newer"


def test_a_table_that_is_none_is_let_be() -> None:
    descriptor = os.memfd_create("x")
    os.write(descriptor, b"no table" * 1000)
    assert read_tables([descriptor]) == {}
    os.close(descriptor)


def test_a_connection_that_leaves_nothing_needs_no_place(sockets: list[socket.socket]) -> None:
    table = Table(2, 100, 1)
    one = connection(sockets[0], Framing())
    table.save(one)
    assert one.place == 0
