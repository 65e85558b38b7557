"""Rules of `system` and `access` that no type can say: addresses, names, zones, keys.

Pure but for time zones and keyboard layouts, which are looked up where the system keeps them.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from appliance.config.model_system import Access, Ipv4, Ipv6, Network, System
from appliance.config.problems import Problem, shown

_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_LINUX_HOST_NAME_MAX = 64
_INTERFACE = re.compile(r"[A-Za-z0-9_.*?-]{1,15}")
_LOGIN = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_LAYOUT = re.compile(r"[a-z]{2,12}(_[a-z]+)?")
_VARIANT = re.compile(r"[A-Za-z0-9_-]{0,32}")
_XKB = Path("/usr/share/X11/xkb/symbols")
_SYSTEM_USERS = frozenset(("root", "daemon", "bin", "sys", "nobody", "appliance", "sshd", "www-data"))
_KEY_TYPES = {
    "ssh-ed25519": "", "sk-ssh-ed25519@openssh.com": "", "sk-ecdsa-sha2-nistp256@openssh.com": "",
    "ecdsa-sha2-nistp256": "", "ecdsa-sha2-nistp384": "", "ecdsa-sha2-nistp521": "", "ssh-rsa": "",
}  # fmt: skip
_RSA_BITS = 2048


def check_system(system: System, access: Access) -> Iterator[Problem]:
    """Yield every problem and warning of the two sections."""
    if reason := host_name_fault(system.hostname):
        hint = "letters, digits and hyphens, such as forwarder or forwarder.example.org"
        yield Problem("system.hostname", reason, hint, shown(system.hostname))
    elif len(system.hostname) > _LINUX_HOST_NAME_MAX:
        yield Problem("system.hostname", f"longer than {_LINUX_HOST_NAME_MAX} characters", "use the short name")
    yield from _check_network(system.network)
    for index, server in enumerate(system.ntp.servers):
        if not _is_address(server) and host_name_fault(server):
            hint = "a name or an address, such as ntp.example.org"
            yield Problem(f"system.ntp.servers[{index}]", "not a time server", hint, shown(server))
    if not zone_exists(system.timezone):
        hint = "a name of the IANA database, such as Europe/Paris or UTC"
        yield Problem("system.timezone", "no such time zone", hint, shown(system.timezone))
    yield from _check_keyboard(system)
    if system.proxy is not None:
        yield from _check_proxy(system.proxy)
    yield from _check_access(access)


# ---- names and addresses --------------------------------------------------------------------


def host_name_fault(name: str) -> str:
    """Return why this is not a host name (RFC 1123, section 2.1), empty when it is one."""
    if not name:
        return "empty"
    if len(name) > 253:
        return "longer than 253 characters"
    labels = name.split(".")
    if not all(_HOST_LABEL.fullmatch(label) for label in labels):
        return "not a host name"
    if labels[-1].isdigit():
        return "a host name does not end with a number"
    if name.lower() == "localhost" or name.lower().startswith("localhost."):
        return "every machine calls itself localhost"
    return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _check_network(network: Network) -> Iterator[Problem]:
    where = "system.network"
    if network.interface is not None and not _INTERFACE.fullmatch(network.interface):
        hint = "a name of at most 15 characters such as enX0, or a pattern such as en*"
        yield Problem(f"{where}.interface", "not the name of an interface", hint, shown(network.interface))
    yield from _check_family(network.ipv4, f"{where}.ipv4", 4)
    yield from _check_family(network.ipv6, f"{where}.ipv6", 6)
    if network.ipv4.method == "off" and network.ipv6.method == "off":
        yield Problem(where, "both IPv4 and IPv6 are off", "set one of them to dhcp, auto or static")
    for index, server in enumerate(network.dns):
        if not _is_address(server):
            hint = "an IP address, such as 192.0.2.53"
            yield Problem(f"{where}.dns[{index}]", "not the address of a name server", hint, shown(server))
        elif ipaddress.ip_address(server).is_unspecified or ipaddress.ip_address(server).is_multicast:
            yield Problem(f"{where}.dns[{index}]", "no server can have this address", "", shown(server))
    for index, domain in enumerate(network.search):
        if host_name_fault(domain):
            yield Problem(f"{where}.search[{index}]", "not a domain", "such as example.org", shown(domain))
    static = network.ipv4.method != "dhcp" and network.ipv6.method != "auto"
    if static and not network.dns:
        yield Problem(f"{where}.dns", "no name server is set or could be learned", "names will not resolve",
                      severity="warning")  # fmt: skip


def _check_family(family: Ipv4 | Ipv6, where: str, version: int) -> Iterator[Problem]:
    example = "192.0.2.10/24" if version == 4 else "2001:db8::10/64"
    if family.method != "static":
        for key in ("address", "gateway"):
            if getattr(family, key) is not None:
                hint = f"set {where}.method to static, or leave it out"
                yield Problem(f"{where}.{key}", f"not used with method {family.method}", hint, severity="warning")
        return
    if family.address is None:
        yield Problem(f"{where}.address", "missing for method static", f"such as {example}")
        return
    interface = _interface(family.address, version)
    if interface is None:
        yield Problem(f"{where}.address", f"not an IPv{version} address with its prefix length", f"such as {example}",
                      shown(family.address))  # fmt: skip
        return
    if fault := _unusable(interface):
        yield Problem(f"{where}.address", fault, f"such as {example}", family.address)
        return
    yield from _check_gateway(family.gateway, interface, f"{where}.gateway", version)


def _interface(text: str, version: int) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    if "/" not in text or "%" in text or not text.rpartition("/")[2].isdigit():
        return None
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        return None
    return interface if interface.version == version else None


def _unusable(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> str:
    """Return why no machine can have this address, empty when one can."""
    address, network = interface.ip, interface.network
    if address.is_unspecified or address.is_loopback or address.is_multicast or network.prefixlen == 0:
        return "no machine can have this address"
    if interface.version == 4:
        if network.prefixlen < 31 and address == network.network_address:
            return "this is the address of the network itself"
        if network.prefixlen < 31 and address == network.broadcast_address:
            return "this is the broadcast address of the network"
        if int(address) >> 28 == 15:
            return "no machine can have this address"
    return ""


def _check_gateway(
    gateway: str | None, interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface, where: str, version: int
) -> Iterator[Problem]:
    if gateway is None:
        hint = "right when Loki and all senders are in the same network"
        yield Problem(where, "no gateway: only the local network can be reached", hint, severity="warning")
        return
    try:
        address = ipaddress.ip_address(gateway)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in gateway:
        yield Problem(where, f"not an IPv{version} address", "the router's address", shown(gateway))
        return
    if version == 6 and address.is_link_local:
        return
    if address == interface.ip:
        yield Problem(where, "the gateway is this machine itself", "the router's address", gateway)
    elif address not in interface.network:
        hint = f"an address in {interface.network}, or another prefix length"
        yield Problem(where, f"not in the network of {interface}", hint, gateway)
    elif version == 4 and interface.network.prefixlen < 31 and address in (
        interface.network.network_address, interface.network.broadcast_address,
    ):  # fmt: skip
        yield Problem(where, "no machine can have this address", f"an address in {interface.network}", gateway)


def _check_proxy(proxy: str) -> Iterator[Problem]:
    where, example = "system.proxy", "such as http://proxy.example.org:3128"
    try:
        parts = urlsplit(proxy)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = None, ""
    value = shown(re.sub(r"//[^/@]*@", "//…@", proxy))
    if parts is None or parts.scheme not in ("http", "https") or not (_is_address(host) or not host_name_fault(host)):
        yield Problem(where, "not the URL of an HTTP proxy", example, value)
    elif parts.path not in ("", "/") or parts.query or parts.fragment or re.search(r"[\s\"'\\;]", proxy):
        yield Problem(where, "a proxy has a host and a port, nothing more", example, value)
    elif parts.username is not None:
        yield Problem(where, "do not put secrets in the URL", "let the proxy know this machine's address", value)


# ---- time, keyboard -------------------------------------------------------------------------


def zone_exists(name: str) -> bool:
    if name == "UTC":  # the default, known without the zone database
        return True
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True


def _check_keyboard(system: System) -> Iterator[Problem]:
    layout, variant = system.keyboard.layout, system.keyboard.variant
    if not _LAYOUT.fullmatch(layout) or (_XKB.is_dir() and not (_XKB / layout).is_file()):
        hint = "an XKB layout, such as us, gb, fr, de, ch or es"
        yield Problem("system.keyboard.layout", "no such keyboard layout", hint, shown(layout))
    elif variant and (not _VARIANT.fullmatch(variant) or not _has_variant(layout, variant)):
        hint = f"a variant of {layout}; leave it out for the usual one"
        yield Problem("system.keyboard.variant", "no such variant of the keyboard", hint, shown(variant))


def _has_variant(layout: str, variant: str) -> bool:
    """Return whether the layout has the variant; a machine without XKB's files lets it pass."""
    try:
        return f'xkb_symbols "{variant}"' in (_XKB / layout).read_text(errors="replace")
    except OSError:
        return True


# ---- access ---------------------------------------------------------------------------------


def _check_access(access: Access) -> Iterator[Problem]:
    name = access.administrator
    if not _LOGIN.fullmatch(name):
        hint = "lower-case letters, digits, _ and -, starting with a letter"
        yield Problem("access.administrator", "not a login name", hint, shown(name))
    elif name in _SYSTEM_USERS:
        yield Problem("access.administrator", "this name is reserved for the system", "such as admin", name)
    for index, key in enumerate(access.ssh_keys):
        fault, hint = ssh_key_fault(key)
        if fault:
            yield Problem(f"access.ssh_keys[{index}]", fault, hint, shown(key))
    if access.ssh and not access.ssh_keys and not access.password_file:
        hint = "set access.ssh_keys or access.password_file"
        yield Problem("access.ssh", "nobody could log in: neither key nor password", hint, severity="warning")
    if access.console_lock and not access.password_file:
        hint = "set access.password_file"
        yield Problem("access.console_lock", "locked without a password: nobody could unlock it", hint)


def ssh_key_fault(line: str) -> tuple[str, str]:
    """Return why a line is not a usable public key, and a hint; two empty texts when it is one.

    The blob says its type and sizes itself (RFC 4253, section 6.6), so a cut or private key is seen.
    """
    hint = "the one line of the .pub file, such as ssh-ed25519 AAAA… name"
    if "PRIVATE KEY" in line:
        return "this is a private key: it must not leave your machine", hint
    if "\n" in line.strip() or not line.isprintable():
        return "a key is one line", hint
    parts = line.split()
    if len(parts) < 2 or parts[0] not in _KEY_TYPES:
        if parts and parts[0] in ("ssh-dss", "dsa"):
            return "DSA keys are no longer accepted over SSH", "make one with `ssh-keygen -t ed25519`"
        return "not a public key", hint
    try:
        blob = base64.b64decode(parts[1], validate=True)
        fields = _ssh_fields(blob)
    except (binascii.Error, ValueError):
        return "the key is cut or damaged", hint
    if fields[0] != parts[0].encode():
        return "the key is not of the type it claims", hint
    if parts[0] == "ssh-rsa" and (len(fields) != 3 or len(fields[2]) * 8 - 8 < _RSA_BITS):
        return f"an RSA key of less than {_RSA_BITS} bits", "make one with `ssh-keygen -t ed25519`"
    if parts[0] == "ssh-ed25519" and (len(fields) != 2 or len(fields[1]) != 32):
        return "the key is cut or damaged", hint
    return "", ""


def _ssh_fields(blob: bytes) -> list[bytes]:
    """Return the length-prefixed fields; raise ValueError when they do not fill the blob exactly."""
    fields, at = [], 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "big")
        if at + 4 + size > len(blob) or len(blob) - at < 4:
            raise ValueError("cut")
        fields.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    if not fields:
        raise ValueError("empty")
    return fields
