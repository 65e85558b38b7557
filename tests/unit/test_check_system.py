"""The machine's own settings: what is accepted works, what cannot work is refused with path and hint."""

import base64
import ipaddress
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.check_system import check_system, host_name_fault, ssh_key_fault
from appliance.config.model import Access, Ipv4, Ipv6, Keyboard, Network, Ntp, System
from appliance.config.problems import Problem

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@example.org"


def errors(system: System | None = None, access: Access | None = None) -> dict[str, Problem]:
    found = check_system(system or System(), access or Access())
    return {problem.path: problem for problem in found if problem.severity == "error"}


def network(**changes: object) -> System:
    return System(network=Network(**changes))  # type: ignore[arg-type]


def static(address: str | None, gateway: str | None) -> System:
    return network(ipv4=Ipv4(method="static", address=address, gateway=gateway))


def test_the_defaults_are_without_fault() -> None:
    assert list(check_system(System(), Access())) == []


# ---- network --------------------------------------------------------------------------------

ADDRESSES = st.integers(0x01000001, 0xDFFFFFFE).map(ipaddress.IPv4Address).filter(lambda a: not a.is_loopback)
PREFIXES = st.integers(8, 30)


@given(ADDRESSES, PREFIXES, st.data())
def test_a_gateway_inside_the_network_is_accepted_and_one_outside_refused(
    address: ipaddress.IPv4Address, prefix: int, data: st.DataObject
) -> None:
    interface = ipaddress.IPv4Interface(f"{address}/{prefix}")
    inside = interface.network
    first, last = int(inside.network_address) + 1, int(inside.broadcast_address) - 1
    gateway = ipaddress.IPv4Address(data.draw(st.integers(first, last)))
    usable = address not in (inside.network_address, inside.broadcast_address)
    found = errors(static(str(interface), str(gateway)))
    if not usable:
        assert set(found) == {"system.network.ipv4.address"}
    elif gateway == address:
        assert "this machine itself" in found["system.network.ipv4.gateway"].message
    else:
        assert found == {}
    outside = data.draw(ADDRESSES.filter(lambda a: a not in inside))
    if usable:
        wrong = errors(static(str(interface), str(outside)))["system.network.ipv4.gateway"]
        assert str(inside) in wrong.hint and wrong.value == str(outside)


@given(st.text(max_size=40))
def test_no_text_as_an_address_ends_in_a_crash_and_what_passes_is_one(text: str) -> None:
    found = errors(static(text, None))
    if "system.network.ipv4.address" not in found:
        interface = ipaddress.IPv4Interface(text)
        assert not interface.ip.is_loopback and not interface.ip.is_multicast and "/" in text
    gateway = errors(static("192.0.2.9/24", text))
    if "system.network.ipv4.gateway" not in gateway:
        assert ipaddress.IPv4Address(text) in ipaddress.IPv4Network("192.0.2.0/24")


@given(st.integers(0x2000 << 112, 0x3FFF << 112), st.integers(8, 126))
def test_ipv6_takes_a_gateway_of_the_network_or_a_link_local_one(number: int, prefix: int) -> None:
    interface = ipaddress.IPv6Interface((number, prefix))
    for gateway in ("fe80::1", str(interface.network.network_address + (interface.ip == interface.network[0]))):
        system = network(ipv6=Ipv6(method="static", address=str(interface), gateway=gateway))
        assert errors(system) == {}
    outside = network(ipv6=Ipv6(method="static", address=str(interface), gateway="4000::1"))
    assert "system.network.ipv6.gateway" in errors(outside)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.9", "not an IPv4 address with its prefix length"),
        ("192.0.2.9/33", "not an IPv4 address with its prefix length"),
        ("192.0.2.9/255.255.255.0", "not an IPv4 address with its prefix length"),
        ("2001:db8::1/64", "not an IPv4 address with its prefix length"),
        ("192.0.2.0/24", "the network itself"),
        ("192.0.2.255/24", "broadcast"),
        ("127.0.0.1/8", "no machine can have"),
        ("224.0.0.1/24", "no machine can have"),
        ("0.0.0.0/0", "no machine can have"),
        ("255.1.1.1/24", "no machine can have"),
    ],
)
def test_addresses_that_cannot_be_are_refused_with_the_reason(address: str, reason: str) -> None:
    problem = errors(static(address, None))["system.network.ipv4.address"]
    assert reason in problem.message and "192.0.2.10/24" in problem.hint


def test_point_to_point_networks_are_fine() -> None:
    assert errors(static("192.0.2.0/31", "192.0.2.1")) == {}


def test_static_without_an_address_and_no_family_at_all_are_refused() -> None:
    assert "missing" in errors(static(None, None))["system.network.ipv4.address"].message
    off = network(ipv4=Ipv4(method="off"), ipv6=Ipv6(method="off"))
    assert "both IPv4 and IPv6 are off" in errors(off)["system.network"].message


def test_what_dhcp_does_not_use_is_worth_a_warning() -> None:
    found = list(check_system(network(ipv4=Ipv4(address="192.0.2.9/24")), Access()))
    assert [(p.path, p.severity) for p in found] == [("system.network.ipv4.address", "warning")]


@pytest.mark.parametrize("server", ["example.org", "1.2.3", "0.0.0.0", "224.0.0.251", "fe80::1%eth0", "192.0.2.1/24"])
def test_name_servers_are_addresses(server: str) -> None:
    assert "system.network.dns[0]" in errors(network(dns=[server]))


@pytest.mark.parametrize("name", ["enX0", "en*", "eth0.12", "e?s3"])
def test_interfaces_may_be_patterns(name: str) -> None:
    assert errors(network(interface=name)) == {}


@pytest.mark.parametrize("name", ["", "with space", "a" * 16, "x\ny", "[Match]"])
def test_other_texts_are_no_interface(name: str) -> None:
    assert "system.network.interface" in errors(network(interface=name))


# ---- names ----------------------------------------------------------------------------------

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(st.lists(LABEL, min_size=1, max_size=4))
def test_names_of_rfc_1123_are_accepted(labels: list[str]) -> None:
    name = ".".join(labels)
    if not labels[-1].isdigit() and labels[0] != "localhost":
        assert host_name_fault(name) == ""


@given(st.text(max_size=80))
@settings(max_examples=300)
def test_an_accepted_name_can_break_out_of_no_file(text: str) -> None:
    if not host_name_fault(text):
        assert text.replace(".", "").replace("-", "").isalnum() and text.isascii()


@pytest.mark.parametrize("name", ["", "-a", "a-", "a..b", "a_b", "192.0.2.1", "localhost", "a.", "ä", "a b", "x" * 64])
def test_what_is_no_host_name_is_refused(name: str) -> None:
    assert "system.hostname" in errors(System(hostname=name))


def test_zones_keyboards_time_servers_and_proxies() -> None:
    right = System(
        timezone="Europe/Paris",
        keyboard=Keyboard(layout="de", variant="nodeadkeys"),
        ntp=Ntp(servers=["ntp.example.org", "192.0.2.1", "2001:db8::1"]),
        proxy="http://proxy.example.org:3128",
    )
    assert errors(right) == {}
    wrong = System(
        timezone="Europe/Atlantis",
        keyboard=Keyboard(layout="zz"),
        ntp=Ntp(servers=["ntp example"]),
        proxy="http://user:geheim@proxy/",
    )
    found = errors(wrong)
    assert set(found) == {"system.timezone", "system.keyboard.layout", "system.ntp.servers[0]", "system.proxy"}
    assert "geheim" not in str(list(found.values()))
    assert all(problem.hint for problem in found.values())


@pytest.mark.parametrize("zone", ["../../etc/passwd", "/etc/passwd", "UTC\n", ""])
def test_a_zone_cannot_point_elsewhere(zone: str) -> None:
    assert "system.timezone" in errors(System(timezone=zone))


# ---- access ---------------------------------------------------------------------------------


def key(kind: str, *fields: bytes) -> str:
    blob = b"".join(struct.pack("!I", len(field)) + field for field in (kind.encode(), *fields))
    return f"{kind} {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize(
    "line",
    [ED25519, key("ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 256), key("ecdsa-sha2-nistp256", b"nistp256", b"\4" * 65)],
)
def test_public_keys_are_accepted(line: str) -> None:
    assert ssh_key_fault(line) == ("", "")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not a public key"),
        ("hello world", "not a public key"),
        (ED25519[:60], "cut or damaged"),
        (ED25519.replace("ssh-ed25519", "ssh-rsa"), "not of the type"),
        (key("ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 128), "less than 2048 bits"),
        (key("ssh-ed25519", b"short"), "cut or damaged"),
        ("ssh-dss AAAA", "DSA keys"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        (ED25519 + "\n" + ED25519, "one line"),
        ('command="rm -rf /" ' + ED25519, "not a public key"),
    ],
)
def test_what_is_no_public_key_is_refused_with_the_reason(line: str, reason: str) -> None:
    assert reason in ssh_key_fault(line)[0]


@given(st.text(max_size=120))
def test_no_text_as_a_key_ends_in_a_crash(text: str) -> None:
    ssh_key_fault(text)
    ssh_key_fault("ssh-ed25519 " + text)


@pytest.mark.parametrize("name", ["root", "Admin", "a b", "", "appliance", "x:y", "-a", "a\nb"])
def test_logins_that_are_not_free_are_refused(name: str) -> None:
    assert "access.administrator" in errors(access=Access(administrator=name))


def test_a_lock_without_a_key_is_refused() -> None:
    assert "access.console_lock" in errors(access=Access(console_lock=True))
    assert errors(access=Access(console_lock=True, password_file="/etc/appliance/secrets/admin")) == {}
