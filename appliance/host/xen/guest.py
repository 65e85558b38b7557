#!/usr/bin/python3 -IS
"""Tells the Xen host what Xen Orchestra shows of a VM: addresses, operating system, memory.

Runs in the VM for as long as it is up, started by appliance-xen-guest.service only under Xen. It
writes the keys that xapi reads (xapi_guest_agent.ml) into the VM's own part of xenstore: all of them
at start and after a resume or migration, the addresses at once when they change, memory every minute.

One file with nothing but Python's own library, because the image runs it by Debian's python3, which
cloud-init needs anyway: 9 MiB in the VM, where the packed `appliance` takes over 20 (and a timer would
put two lines into the journal every minute). For the same reason it speaks to xenstore and to the
kernel's netlink itself, without a process for each write, and uses tuples and open() where elsewhere
stand dataclasses and pathlib, which cost 2 MiB more. Above `Xenstore` all is pure.
"""

import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

INTERVAL = 60.0  # seconds between reports of memory; agents of XenServer do the same
# xapi takes every part for an integer: with any other text in one of them it sees no agent at all.
# Xen Orchestra hides a major version of 0.
VERSION = {"MajorVersion": "1", "MinorVersion": "0", "MicroVersion": "0", "BuildVersion": "1"}


class Address(NamedTuple):
    """An address of a PV network card; `vif` is the card's number on the Xen side, `family` 4 or 6."""

    vif: int
    family: int
    address: str


class Facts(NamedTuple):
    """Everything that is reported. Memory in KiB."""

    os_name: str
    os_distro: str
    os_major: str
    os_minor: str
    kernel: str
    host_name: str
    memory_total: int
    memory_free: int
    addresses: tuple[Address, ...]


class Write(NamedTuple):
    """Set a key; paths are relative to the VM's own directory."""

    path: str
    value: str


class Remove(NamedTuple):
    """Remove a key and all below it."""

    path: str


Change = Write | Remove


def address_keys(addresses: Iterable[Address]) -> dict[str, str]:
    """attr/vif/N/ipv4/M and attr/vif/N/ipv6/M, M counting from 0 for each card and family."""
    keys: dict[str, str] = {}
    for each in sorted(set(addresses)):
        prefix = f"attr/vif/{each.vif}/ipv{each.family}"
        slot = sum(key.startswith(prefix + "/") for key in keys)
        keys[f"{prefix}/{slot}"] = each.address
    return keys


def everything(facts: Facts, now: int) -> list[Change]:
    """Return all keys, for a start and after a migration, which leaves xenstore without them.

    xapi watches attr but not data/os_*: data goes first, attr last, so that what it reads is complete.
    """
    data = {
        "data/os_name": facts.os_name,
        "data/os_distro": facts.os_distro,
        "data/os_majorver": facts.os_major,
        "data/os_minorver": facts.os_minor,
        "data/os_uname": facts.kernel,
        "data/host_name_dns": facts.host_name,
        "data/meminfo_total": str(facts.memory_total),
        "data/meminfo_free": str(facts.memory_free),
        "data/updated": str(now),
    }
    version = {f"attr/PVAddons/{name}": VERSION[name] for name in reversed(VERSION)}
    keys = data | {"attr/PVAddons/Installed": "1"} | address_keys(facts.addresses) | version
    return [Remove("attr/vif"), *(Write(path, value) for path, value in keys.items())]


def refresh(before: Facts, facts: Facts, now: int) -> list[Change]:
    """Return what a minute later, or a change of addresses, makes necessary."""
    old, new = address_keys(before.addresses), address_keys(facts.addresses)
    changes: list[Change] = [Remove(path) for path in old if path not in new]
    if before.host_name != facts.host_name:
        changes.append(Write("data/host_name_dns", facts.host_name))
    changes.append(Write("data/meminfo_free", str(facts.memory_free)))
    changes.append(Write("data/updated", str(now)))
    changes += [Write(path, value) for path, value in new.items()]
    return changes


def parse_os_release(text: str) -> dict[str, str]:
    """NAME=value lines, quotes removed (os-release(5))."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value.strip().strip("\"'") for name, _, value in pairs}


def parse_meminfo(text: str) -> dict[str, int]:
    """KiB by name (proc(5))."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: int(value.split()[0]) for name, value in pairs if value.split()[:1] and value.split()[0].isdigit()}


def vif_of(nodename: str) -> int | None:
    """3 for `device/vif/3`, None for anything else."""
    kind, _, number = nodename.strip().rpartition("/")
    return int(number) if kind == "device/vif" and number.isdigit() else None


# rtnetlink(7): only addresses that others can use are reported.
_RTM_NEWADDR, _RTM_GETADDR, _NLMSG_ERROR, _NLMSG_DONE = 20, 22, 2, 3
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_UNUSABLE = 0x08 | 0x20 | 0x40  # failed duplicate detection, deprecated, tentative
_SCOPE_LINK = 253


def parse_addresses(packet: bytes) -> Iterator[tuple[int, int, str]]:
    """(interface index, 4 or 6, address) of each RTM_NEWADDR message of wider scope than the link."""
    position = 0
    while position + 16 <= len(packet):
        length, kind = struct.unpack_from("=IH", packet, position)
        if length < 16:
            return
        if kind == _RTM_NEWADDR:
            family, _, flags, scope, index = struct.unpack_from("=BBBBI", packet, position + 16)
            attributes = dict(_attributes(packet[position + 24 : position + length]))
            raw = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
            if raw and scope < _SCOPE_LINK and not flags & _UNUSABLE:
                yield index, 4 if family == socket.AF_INET else 6, socket.inet_ntop(family, raw)
        position += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            return
        yield kind, data[position + 4 : position + length]
        position += (length + 3) & ~3


# ---- the edge -------------------------------------------------------------------------------------


class XenstoreError(OSError):
    """xenstore refused a request; the text is its own word, such as ENOENT."""


class Xenstore:
    """The VM's own end of xenstore, by the protocol of Xen's xs_wire.h over /dev/xen/xenbus."""

    READ, WRITE, RM, ERROR, WATCH_EVENT = 2, 11, 13, 16, 15

    def __init__(self, device: str = "/dev/xen/xenbus") -> None:
        self._fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        self._request = 0

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = os.read(self._fd, length - len(data))
            if not part:
                raise XenstoreError("xenstore closed the connection")
            data += part
        return data

    def _ask(self, kind: int, payload: bytes) -> bytes:
        self._request += 1
        os.write(self._fd, struct.pack("=IIII", kind, self._request, 0, len(payload)) + payload)
        while True:
            answered, request, _, length = struct.unpack("=IIII", self._exactly(16))
            body = self._exactly(length)
            if answered == self.ERROR:
                raise XenstoreError(body.rstrip(b"\0").decode(errors="replace"))
            if answered != self.WATCH_EVENT and request == self._request:
                return body

    def read(self, path: str) -> str | None:
        """Return the value of a key, None when there is none."""
        try:
            return self._ask(self.READ, path.encode() + b"\0").decode(errors="replace")
        except XenstoreError:
            return None

    def apply(self, changes: Iterable[Change]) -> None:
        """Carry out `changes` in their order; what is to be removed may be gone already."""
        for change in changes:
            if isinstance(change, Write):
                self._ask(self.WRITE, change.path.encode() + b"\0" + change.value.encode())
            else:
                try:
                    self._ask(self.RM, change.path.encode() + b"\0")
                except XenstoreError as error:
                    if "ENOENT" not in str(error):
                        raise


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def read_vifs(net: str = "/sys/class/net") -> dict[int, int]:
    """Return the number on the Xen side by the kernel's interface index, of all PV network cards.

    Not by if_indextoname(3): it wants a socket of another family, which the service's sandbox denies.
    """
    vifs = {}
    for name in os.listdir(net):
        try:
            index, vif = int(_text(f"{net}/{name}/ifindex")), vif_of(_text(f"{net}/{name}/device/nodename"))
        except OSError:  # no Xen card, or gone meanwhile
            continue
        if vif is not None:
            vifs[index] = vif
    return vifs


def read_addresses(vifs: Mapping[int, int]) -> tuple[Address, ...]:
    """Return the addresses of `vifs`, from the kernel."""
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(10)
        netlink.send(struct.pack("=IHHIIBBBBI", 24, _RTM_GETADDR, 0x301, 1, 0, socket.AF_UNSPEC, 0, 0, 0, 0))
        while True:
            packet = netlink.recv(1 << 16)
            known = (each for each in parse_addresses(packet) if each[0] in vifs)
            found += [Address(vifs[index], family, address) for index, family, address in known]
            # The dump's last message stands alone or at the end of a packet.
            if _ends(packet):
                return tuple(sorted(found))


def _ends(packet: bytes) -> bool:
    position = 0
    while position + 16 <= len(packet):
        length, kind = struct.unpack_from("=IH", packet, position)
        if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < 16:
            return True
        position += (length + 3) & ~3
    return False


def read_facts(addresses: tuple[Address, ...]) -> Facts:
    """Return what is to be reported, from the files of a Debian system."""
    release = parse_os_release(_text("/etc/os-release"))
    memory = parse_meminfo(_text("/proc/meminfo"))
    major, _, minor = _text("/etc/debian_version").strip().partition(".")
    return Facts(
        os_name=release.get("PRETTY_NAME", "Debian GNU/Linux"),
        os_distro=release.get("ID", "debian"),
        os_major=release.get("VERSION_ID", major),
        os_minor=minor if minor.isdigit() else "0",
        kernel=os.uname().release,
        host_name=socket.gethostname(),
        memory_total=memory.get("MemTotal", 0),
        memory_free=memory.get("MemAvailable", memory.get("MemFree", 0)),
        addresses=addresses,
    )


class Reporter:
    """Keeps xenstore as the facts are; knows what it told to which domain."""

    def __init__(self, store: Xenstore, facts: Callable[[], Facts], clock: Callable[[], float] = time.time) -> None:
        self._store, self._facts, self._clock = store, facts, clock
        self._told: Facts | None = None
        self._domain: str | None = None

    def report(self) -> None:
        """Report everything that is due."""
        domain = self._store.read("domid")
        there = self._store.read("attr/PVAddons/MajorVersion")
        facts, now = self._facts(), int(self._clock())
        if self._told is None or domain != self._domain or there != VERSION["MajorVersion"]:
            self._store.apply(everything(facts, now))
        else:
            self._store.apply(refresh(self._told, facts, now))
        self._told, self._domain = facts, domain


def _settle(netlink: socket.socket) -> None:
    """A change comes as several messages: wait until there was none for half a second."""
    for _ in range(10):
        try:
            netlink.recv(1 << 16)
        except OSError:  # too many to be queued: they say no more than that something changed
            pass
        if not select.select([netlink], [], [], 0.5)[0]:
            return


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Report until the service is stopped."""
    reporter = Reporter(Xenstore(), lambda: read_facts(read_addresses(read_vifs())))
    interval = float(environment.get("XEN_GUEST_INTERVAL", INTERVAL))
    trouble = ""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0x1 | 0x10 | 0x100))  # links (a migration takes them down and up), IPv4, IPv6
        while True:
            try:
                reporter.report()
                trouble = ""
            except OSError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    print(f"<4>the Xen host could not be informed: {error}; trying again", file=sys.stderr, flush=True)  # noqa: T201
            if select.select([netlink], [], [], interval)[0]:
                _settle(netlink)


if __name__ == "__main__":
    sys.exit(main())
