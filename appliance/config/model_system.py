"""The `system` and `access` sections: the machine itself, and who may log in.

Only types, defaults and meanings; rules that types cannot express (a gateway outside its network,
a zone that does not exist) are in `check_system.py`. The relay on its own needs neither section.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from appliance.config.section import Section


class Ipv4(Section):
    method: Annotated[Literal["dhcp", "static", "off"], Meta(description="Where the IPv4 address comes from.")] = "dhcp"
    address: Annotated[
        str | None, Meta(description="Address and prefix length, such as 192.0.2.10/24, for method static.")
    ] = None
    gateway: Annotated[str | None, Meta(description="Default gateway, for method static.")] = None


class Ipv6(Section):
    method: Annotated[
        Literal["auto", "static", "off"],
        Meta(description="auto: router advertisements, and DHCPv6 when they ask for it; static; off."),
    ] = "auto"
    address: Annotated[
        str | None, Meta(description="Address and prefix length, such as 2001:db8::10/64, for method static.")
    ] = None
    gateway: Annotated[str | None, Meta(description="Default gateway, for method static; may be link-local.")] = None


class Network(Section):
    interface: Annotated[
        str | None,
        Meta(description="Name of the interface or a pattern, such as enX0 or en*; any Ethernet when absent."),
    ] = None
    vlan: Annotated[
        Annotated[int, Meta(ge=1, le=4094)] | None,
        Meta(description="VLAN id (802.1Q) that carries the addresses; untagged when absent."),
    ] = None
    mtu: Annotated[
        Annotated[int, Meta(ge=1280, le=9216)] | None,
        Meta(description="Maximum packet size, in bytes; the interface's own when absent."),
    ] = None
    ipv4: Annotated[Ipv4, Meta(description="IPv4 addressing.")] = field(default_factory=Ipv4)
    ipv6: Annotated[Ipv6, Meta(description="IPv6 addressing.")] = field(default_factory=Ipv6)
    dns: Annotated[
        list[str], Meta(description="Addresses of DNS servers; those from DHCP when empty.", max_length=6)
    ] = field(default_factory=list)
    search: Annotated[list[str], Meta(description="Search domains for short names.", max_length=6)] = field(
        default_factory=list
    )


class Ntp(Section):
    servers: Annotated[
        list[str], Meta(description="Names or addresses of time servers; Debian's pool when empty.", max_length=8)
    ] = field(default_factory=list)


class Keyboard(Section):
    layout: Annotated[str, Meta(description="XKB layout of the console keyboard, such as us, fr or de.")] = "us"
    variant: Annotated[str, Meta(description="XKB variant, such as nodeadkeys; none when empty.")] = ""


class System(Section):
    hostname: Annotated[str, Meta(description="Name of this machine, short or with its domain.")] = "forwarder"
    network: Annotated[Network, Meta(description="Addresses, routes and name servers.")] = field(
        default_factory=Network
    )
    ntp: Annotated[Ntp, Meta(description="Where the time comes from.")] = field(default_factory=Ntp)
    timezone: Annotated[str, Meta(description="Time zone, such as Europe/Paris.")] = "UTC"
    keyboard: Annotated[Keyboard, Meta(description="Keyboard of the console.")] = field(default_factory=Keyboard)
    proxy: Annotated[str | None, Meta(description="HTTP proxy for updates, such as http://proxy.example.org:3128.")] = (
        None
    )


class Access(Section):
    administrator: Annotated[str, Meta(description="User name of the administrator, who may use sudo.")] = "admin"
    password_file: Annotated[
        str | None,
        Meta(
            description="File (mode 0600) with the administrator's password as a crypt hash; no password when absent."
        ),
    ] = None
    ssh: Annotated[bool, Meta(description="Allow the administrator to log in over SSH.")] = False
    ssh_keys: Annotated[
        list[str],
        Meta(
            description="Public keys of the administrator, as in authorized_keys. With a key, SSH accepts no password."
        ),
    ] = field(default_factory=list)
    console_lock: Annotated[
        bool, Meta(description="Require the administrator's password for changes at the console.")
    ] = False
