"""From a configuration to every file of the machine: one function, a tree as its value.

Pure but for the templates it reads. rsyslog's part is rendered by `appliance.host.rsyslog`; whether a
program accepts what comes out is found out by `apply/readers.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from appliance.config.dump import dump
from appliance.config.model import Config
from appliance.host.layout import CONFIG, RELAY_CONFIG
from appliance.host.system.complete import complete
from appliance.host.system.ports import open_ports
from appliance.host.system.secrets import for_relay
from appliance.host.tree import ABSENT, Entry, File, Link

if TYPE_CHECKING:
    import jinja2

NETWORK = "/etc/systemd/network/10-appliance.network"
VLAN_PREFIX = "/etc/systemd/network/10-appliance-vlan"
RESOLVED = "/etc/systemd/resolved.conf.d/20-appliance.conf"
CHRONY = "/etc/chrony/chrony.conf"
FIREWALL = "/etc/nftables.conf"
JOURNALD = "/etc/systemd/journald.conf.d/20-appliance.conf"
SSHD = "/etc/ssh/sshd_config.d/05-appliance.conf"
SSH_UNIT = "/etc/systemd/system/multi-user.target.wants/ssh.service"
AUTHORIZED_KEYS = "/etc/ssh/authorized_keys.d"
SUDOERS = "/etc/sudoers.d/appliance"
ADMINISTRATOR = "/etc/appliance/secrets/administrator"
HOSTNAME = "/etc/hostname"
HOSTS = "/etc/hosts"
LOCALTIME = "/etc/localtime"
TIMEZONE = "/etc/timezone"
LOCALE = "/etc/default/locale"
KEYBOARD = "/etc/default/keyboard"
APT_PROXY = "/etc/apt/apt.conf.d/80appliance-proxy"
RSYSLOG = "/etc/rsyslog.conf"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the rendering needs from secret files, read by the caller."""

    password_hash: str | None = None  # crypt(5); None: no password


def render(
    config: Config,
    text: str,
    *,
    secrets: Secrets,
    owner: str = "root",
    group: str = "appliance",
    rsyslog: Callable[[Config], str] | None = None,
) -> dict[str, Entry]:
    """Return every managed file. `text` is the appliance.yaml that `config` came from, kept as written.

    `group` may read the configuration; `owner` is root but on a fake root of an ordinary user.
    """
    full = complete(config)
    relay_only = Config(loki=full.loki, labels=full.labels, relay=for_relay(full).relay, listeners=full.listeners)
    tree: dict[str, Entry] = {
        CONFIG: File(text.encode(), 0o640, group=group),
        RELAY_CONFIG: File(_RELAY_HEAD + dump(relay_only).encode(), 0o640, group=group),
        RSYSLOG: File((rsyslog or _rsyslog)(full).encode(), 0o644),
        FIREWALL: _file("nftables.conf", ports=open_ports(full), mode=0o755),
        JOURNALD: _file("journald.conf"),
        CHRONY: _file("chrony.conf", servers=config.system.ntp.servers),
        **_identity(config),
        **_network(config),
        **_access(config, secrets),
    }
    if owner != "root" or group == "root":
        tree = {path: _owned(entry, owner, group) for path, entry in tree.items()}
    return tree


_RELAY_HEAD = b"# Written by `appliance config apply` from /etc/appliance/appliance.yaml; change that file.\n"


def _identity(config: Config) -> dict[str, Entry]:
    system = config.system
    names = [system.hostname]
    if "." in system.hostname:
        names.append(system.hostname.partition(".")[0])
    return {
        HOSTNAME: File(f"{system.hostname}\n".encode()),
        HOSTS: _file("hosts", names=names),
        LOCALTIME: Link(f"/usr/share/zoneinfo/{system.timezone}"),
        TIMEZONE: File(f"{system.timezone}\n".encode()),
        LOCALE: File(b"LANG=C.UTF-8\n"),
        KEYBOARD: _file("keyboard", layout=system.keyboard.layout, variant=system.keyboard.variant),
        APT_PROXY: _file("apt-proxy.conf", proxy=system.proxy) if system.proxy else ABSENT,
    }


def _network(config: Config) -> dict[str, Entry]:
    network = config.system.network
    values: dict[str, object] = {
        "interface": network.interface,
        "mtu": network.mtu,
        "vlan": network.vlan,
        "v4": network.ipv4,
        "v6": network.ipv6,
        "dhcp": "ipv4" if network.ipv4.method == "dhcp" else "no",
        "dns": network.dns,
        "search": network.search,
        "role": "parent" if network.vlan else "addresses",
    }
    return {
        NETWORK: _file("network", values),
        f"{VLAN_PREFIX}.netdev": _file("vlan.netdev", values) if network.vlan else ABSENT,
        f"{VLAN_PREFIX}.network": _file("vlan.network", values) if network.vlan else ABSENT,
        RESOLVED: _file("resolved.conf", dns=network.dns, search=network.search),
    }


def _access(config: Config, secrets: Secrets) -> dict[str, Entry]:
    access = config.access
    name = access.administrator
    keys = "".join(f"{key.strip()}\n" for key in access.ssh_keys)
    return {
        SSHD: _file("sshd.conf", administrator=name, passwords=bool(secrets.password_hash) and not access.ssh_keys),
        SSH_UNIT: Link("/lib/systemd/system/ssh.service") if access.ssh else ABSENT,
        f"{AUTHORIZED_KEYS}/{name}": File(keys.encode()) if keys else ABSENT,
        SUDOERS: _file("sudoers", administrator=name, password=secrets.password_hash, mode=0o440),
        # As chpasswd takes it; * is a password that none matches.
        ADMINISTRATOR: File(f"{name}:{secrets.password_hash or '*'}\n".encode(), 0o600),
    }


def _rsyslog(config: Config) -> str:
    from appliance.host.rsyslog.render import render as render_rsyslog

    return render_rsyslog(config)


def _owned(entry: Entry, owner: str, group: str) -> Entry:
    return File(entry.content, entry.mode, owner, group) if isinstance(entry, File) else entry


def _file(template: str, values: Mapping[str, object] | None = None, *, mode: int = 0o644, **more: object) -> File:
    text = _templates().get_template(f"{template}.j2").render(values or {}, **more)
    return File(text.encode(), mode)


@cache
def _templates() -> "jinja2.Environment":
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("appliance.host.system", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 — no HTML here; values are checked by appliance.config
    )
