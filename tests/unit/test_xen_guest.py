"""What the VM writes into xenstore, in which order, and what it takes away again."""

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.host.xen import guest
from appliance.host.xen.guest import Address, Change, Facts, Remove, Write, everything, refresh

FACTS = Facts(
    os_name="Debian GNU/Linux 12 (bookworm)",
    os_distro="debian",
    os_major="12",
    os_minor="11",
    kernel="6.1.0-56-cloud-amd64",
    host_name="forwarder",
    memory_total=2000000,
    memory_free=1500000,
    addresses=(Address(0, 4, "192.0.2.7"), Address(0, 6, "2001:db8::7"), Address(1, 4, "198.51.100.7")),
)


def carried_out(changes: list[Change], store: dict[str, str]) -> dict[str, str]:
    """The store after `changes`."""
    for change in changes:
        if isinstance(change, Write):
            store[change.path] = change.value
        else:
            for path in [path for path in store if path == change.path or path.startswith(change.path + "/")]:
                del store[path]
    return store


def test_every_key_that_xapi_reads_is_written() -> None:
    assert carried_out(everything(FACTS, 1_700_000_000), {}) == {
        "data/os_name": "Debian GNU/Linux 12 (bookworm)",
        "data/os_distro": "debian",
        "data/os_majorver": "12",
        "data/os_minorver": "11",
        "data/os_uname": "6.1.0-56-cloud-amd64",
        "data/host_name_dns": "forwarder",
        "data/meminfo_total": "2000000",
        "data/meminfo_free": "1500000",
        "data/updated": "1700000000",
        "attr/PVAddons/Installed": "1",
        "attr/PVAddons/MajorVersion": "1",
        "attr/PVAddons/MinorVersion": "0",
        "attr/PVAddons/MicroVersion": "0",
        "attr/PVAddons/BuildVersion": "1",
        "attr/vif/0/ipv4/0": "192.0.2.7",
        "attr/vif/0/ipv6/0": "2001:db8::7",
        "attr/vif/1/ipv4/0": "198.51.100.7",
    }


def test_data_is_written_before_attr_because_only_attr_makes_xapi_look() -> None:
    paths = [change.path for change in everything(FACTS, 0) if isinstance(change, Write)]
    kinds = [path.split("/")[0] for path in paths]
    assert kinds == sorted(kinds, reverse=True)
    assert paths[-1] == "attr/PVAddons/MajorVersion"


def test_the_version_is_all_integers_and_its_major_is_not_hidden() -> None:
    assert all(value.isdigit() for value in guest.VERSION.values())
    assert int(guest.VERSION["MajorVersion"]) >= 1


def test_what_an_earlier_run_left_is_removed_first() -> None:
    store = {"attr/vif/0/ipv4/3": "10.0.0.9", "attr/vif/7/ipv6/0": "2001:db8::9"}
    after = carried_out(everything(FACTS, 0), store)
    assert not {"attr/vif/0/ipv4/3", "attr/vif/7/ipv6/0"} & after.keys()


def test_a_minute_later_memory_and_addresses_are_told_again() -> None:
    changes = refresh(FACTS, FACTS._replace(memory_free=7), 60)
    assert Write("data/meminfo_free", "7") in changes
    assert changes[-1] == Write("attr/vif/1/ipv4/0", "198.51.100.7"), "xapi looks only when attr is written"
    assert not [change for change in changes if isinstance(change, Remove)]


addresses = st.lists(
    st.builds(Address, st.integers(0, 3), st.sampled_from([4, 6]), st.sampled_from(["a", "b", "c", "d"])), max_size=8
).map(tuple)


@given(before=addresses, after=addresses)
def test_after_any_change_the_store_holds_exactly_the_new_addresses(
    before: tuple[Address, ...], after: tuple[Address, ...]
) -> None:
    old, new = FACTS._replace(addresses=before), FACTS._replace(addresses=after)
    store = carried_out(everything(old, 0), {})
    store = carried_out(refresh(old, new, 1), store)
    assert {path: value for path, value in store.items() if path.startswith("attr/vif")} == guest.address_keys(after)
    assert sorted(set(guest.address_keys(after).values())) == sorted({each.address for each in after})


class FakeStore:
    """xenstore, as the reporter uses it; can lose everything, as in a migration."""

    def __init__(self) -> None:
        self.keys = {"domid": "5"}
        self.batches: list[list[Change]] = []

    def read(self, path: str) -> str | None:
        return self.keys.get(path)

    def apply(self, changes: list[Change]) -> None:
        self.batches.append(list(changes))
        carried_out(list(changes), self.keys)


def test_after_a_migration_everything_is_written_again() -> None:
    store = FakeStore()
    reporter = guest.Reporter(store, lambda: FACTS, lambda: 0)  # type: ignore[arg-type]
    reporter.report()
    reporter.report()
    assert [len(batch) for batch in store.batches] == [len(everything(FACTS, 0)), len(refresh(FACTS, FACTS, 0))]
    store.keys = {"domid": "9"}
    reporter.report()
    assert store.batches[-1] == everything(FACTS, 0)
    store.keys = {"domid": "9"}  # restored under the same number
    reporter.report()
    assert store.batches[-1] == everything(FACTS, 0)


@pytest.mark.parametrize(
    ("nodename", "vif"),
    [("device/vif/0", 0), ("device/vif/12\n", 12), ("device/vbd/51712", None), ("", None), ("vif/0", None)],
)
def test_a_card_is_known_by_its_number_on_the_xen_side(nodename: str, vif: int | None) -> None:
    assert guest.vif_of(nodename) == vif


def test_os_release_and_meminfo_are_read_as_they_are() -> None:
    release = guest.parse_os_release(
        'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n# note\nID=debian\nVERSION_ID="12"\n'
    )
    assert (release["PRETTY_NAME"], release["ID"], release["VERSION_ID"]) == (
        "Debian GNU/Linux 12 (bookworm)",
        "debian",
        "12",
    )
    assert (
        guest.parse_meminfo("MemTotal:  100 kB\nMemAvailable:  40 kB\nHugePages_Total:  0\nodd\n")["MemAvailable"] == 40
    )


def _address_message(family: int, flags: int, scope: int, index: int, address: str) -> bytes:
    raw = socket.inet_pton(family, address)
    attribute = struct.pack("=HH", 4 + len(raw), 1) + raw
    body = struct.pack("=BBBBI", family, 24, flags, scope, index) + attribute
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


def test_only_addresses_that_others_can_use_are_told() -> None:
    packet = b"".join(
        (
            _address_message(socket.AF_INET, 0, 0, 2, "192.0.2.1"),
            _address_message(socket.AF_INET, 0, 254, 1, "127.0.0.1"),
            _address_message(socket.AF_INET6, 0, 253, 2, "fe80::1"),
            _address_message(socket.AF_INET6, 0x40, 0, 2, "2001:db8::1"),
            _address_message(socket.AF_INET6, 0x20, 0, 2, "2001:db8::2"),
            _address_message(socket.AF_INET6, 0x80, 0, 2, "2001:db8::3"),
        )
    )
    assert list(guest.parse_addresses(packet)) == [(2, 4, "192.0.2.1"), (2, 6, "2001:db8::3")]


@given(st.binary(max_size=200))
def test_no_packet_stops_the_reader(packet: bytes) -> None:
    try:
        list(guest.parse_addresses(packet))
    except (struct.error, ValueError, OSError):
        pass  # the kernel sends no such packet; what matters is that it ends


def test_addresses_come_from_the_kernel_those_of_the_pv_cards_only() -> None:
    program = (
        "import subprocess\n"
        "from appliance.host.xen import guest\n"
        "for line in ('link set lo up', 'address add 192.0.2.9/24 dev lo', 'addr add 2001:db8::9/64 dev lo nodad'):\n"
        "    subprocess.run(['ip', *line.split()], check=True)\n"
        "print([tuple(each) for each in guest.read_addresses({1: 3})], guest.read_addresses({2: 0}))\n"
    )
    done = _in_own_network(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[(3, 4, '192.0.2.9'), (3, 6, '2001:db8::9')] ()"


def _in_own_network(program: str) -> "subprocess.CompletedProcess[str]":
    if os.geteuid() != 0:
        pytest.skip("making a network card needs root")
    command = ["unshare", "--net", sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_cards_are_found_with_their_number_on_the_xen_side(tmp_path: Path) -> None:
    for name, index, nodename in (("enX0", "2", "device/vif/0"), ("enX1", "7", "device/vif/4"), ("lo", "1", "")):
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "ifindex").write_text(index + "\n")
        if nodename:
            (tmp_path / name / "device/nodename").write_text(nodename + "\n")
    assert guest.read_vifs(str(tmp_path)) == {2: 0, 7: 4}


@pytest.fixture
def xenbus() -> Iterator[tuple[int, dict[str, str]]]:
    """A xenstore of our own at the other end of a socket, speaking xs_wire.h; yields (our end, its keys)."""
    ours, theirs = socket.socketpair()
    keys: dict[str, str] = {"domid": "3"}

    def serve() -> None:
        with theirs:
            while head := theirs.recv(16, socket.MSG_WAITALL):
                kind, request, transaction, length = struct.unpack("=IIII", head)
                path, _, value = theirs.recv(length, socket.MSG_WAITALL).partition(b"\0")
                answer = b"OK\0"
                if kind == guest.Xenstore.WRITE:
                    keys[path.decode()] = value.decode()
                elif kind == guest.Xenstore.READ and path.decode() in keys:
                    answer = keys[path.decode()].encode()
                elif kind == guest.Xenstore.RM and any(key.startswith(path.decode()) for key in keys):
                    carried_out([Remove(path.decode())], keys)
                else:
                    kind, answer = guest.Xenstore.ERROR, b"ENOENT\0"
                theirs.sendall(struct.pack("=IIII", kind, request, transaction, len(answer)) + answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield ours.fileno(), keys
    ours.close()
    thread.join(5)


def test_it_speaks_xenstores_protocol(xenbus: tuple[int, dict[str, str]]) -> None:
    fd, keys = xenbus
    store = guest.Xenstore.__new__(guest.Xenstore)  # its device is a socket here
    store._fd, store._request = fd, 0
    reporter = guest.Reporter(store, lambda: FACTS, lambda: 0)
    reporter.report()
    assert keys == carried_out(everything(FACTS, 0), {"domid": "3"})
    assert store.read("no/such/key") is None
    keys["attr/vif/0/ipv4/0"] = "old"
    reporter.report()
    assert keys["attr/vif/0/ipv4/0"] == "192.0.2.7"


def test_the_file_runs_on_its_own_by_the_systems_python_with_nothing_else() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", str(Path(guest.__file__))],
        capture_output=True,
        text=True,
        timeout=30,
        env={},
        cwd="/",
    )
    assert "/dev/xen/xenbus" in done.stderr, "it came as far as the device that only a Xen guest has"


def test_it_stays_small() -> None:
    program = (
        f"import sys; exec(open({guest.__file__!r}).read().replace('__main__', 'x'));"
        "read_facts(read_addresses(read_vifs())); everything(read_facts(()), 0);"
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS')][0])"
    )
    done = subprocess.run(["/usr/bin/python3", "-IS", "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 13 * 1024, f"{done.stdout.strip()} KiB resident"


def test_a_change_of_addresses_wakes_it() -> None:
    program = (
        "import select, socket, subprocess\n"
        "from appliance.host.xen import guest\n"
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE); s.bind((0, 0x111))\n"
        "subprocess.run(['ip', 'address', 'add', '192.0.2.77/24', 'dev', 'lo'], check=True)\n"
        "assert select.select([s], [], [], 5)[0]; guest._settle(s); assert not select.select([s], [], [], 0)[0]\n"
    )
    done = _in_own_network(program)
    assert done.returncode == 0, done.stderr
