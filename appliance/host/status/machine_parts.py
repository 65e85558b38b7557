"""The machine's parts: configuration, disk, network, time, certificates, updates, services. Pure."""

from appliance.host.layout import DATA
from appliance.host.status.facts import Disk, Facts
from appliance.host.status.part import RANK, Part, length_of_time, section, size
from appliance.severity import State

WARN_CERTIFICATE = 30 * 86400.0
DISK_AMBER, DISK_RED = 0.15, 0.05
SETTLING = 180.0  # seconds after start in which time may still be unsynchronized
UPDATES_LATE = 10 * 86400.0


def configuration(facts: Facts) -> Part:
    name = "configuration"
    if facts.interrupted:
        return Part(
            name,
            "red",
            "interrupted",
            "a change of configuration was interrupted",
            "`appliance config recover` puts the previous configuration back",
        )
    if facts.unconfirmed_until is not None:
        left = max(0, round(facts.unconfirmed_until - facts.now))
        cause = f"the last change reverts in {left} s unless it is confirmed"
        return Part(name, "amber", "waiting for confirmation", cause, "`appliance config confirm` keeps it")
    if facts.generation is not None:
        return Part(name, "green", f"generation {facts.generation}")
    return Part(name, "green", "active")


def disk(facts: Facts) -> Part:
    if facts.data_mounted is False:
        return Part(
            "disk",
            "red",
            "data partition missing",
            "the data partition is not mounted: nothing can be stored",
            "see `journalctl -b -u var-lib-appliance.mount`; check the VM's disk",
        )
    ill = sorted(((_disk_state(disk), disk) for disk in facts.disks), key=lambda pair: -RANK[pair[0]])
    # The one for the logs first: it is the one that fills.
    last_first = reversed(facts.disks)
    summary = ", ".join(f"{_disk_name(disk)} {size(disk.free)} free of {size(disk.total)}" for disk in last_first)
    if not ill or ill[0][0] == "green":
        return Part("disk", "green", summary or "not checked")
    state, disk = ill[0]
    if disk.read_only:
        cause, remedy = (
            f"{disk.path} can only be read",
            "its file system had errors: `journalctl -k`; restart to repair it",
        )
    elif disk.inodes_free_ratio < DISK_RED:
        cause, remedy = f"{disk.path} has no room for more files", "remove files there, or make the disk larger"
    else:
        cause = f"{disk.path} is {1 - disk.free_ratio:.0%} full ({size(disk.free)} free)"
        if disk.largest:
            cause += ": " + ", ".join(f"{place} {size(taken)}" for place, taken in disk.largest)
        remedy = _make_room(disk)
    return Part("disk", state, summary, cause, remedy)


_SPOOL, _JOURNAL, _LETTERS = f"{DATA}/spool", f"{DATA}/journal", f"{DATA}/spool/dead-letters"
_LARGER = "or give the VM a larger disk and restart it: the data partition grows by itself"


def _make_room(disk: Disk) -> str:
    """Return what to do about a disk that is nearly full, by what takes most of it."""
    largest = disk.largest[0][0] if disk.largest else ""
    if disk.path == "/":
        return (
            f"`apt-get clean`, then remove what is not needed of {largest}"
            if largest
            else "`apt-get clean`, and look for large files with `du -xh / | sort -h | tail`"
        )
    if largest == _SPOOL:
        return f"bring Loki back, and the spool empties by itself; {_LARGER}"
    if largest == _LETTERS:
        return f"`appliance dead-letters list` shows them: send them again or drop them; {_LARGER}"
    if largest == _JOURNAL:
        return f"`journalctl --vacuum-size=100M` makes room; {_LARGER}"
    if largest and not largest.startswith((f"{DATA}/rsyslog", f"{DATA}/handover")):
        return f"remove what does not belong there from {largest}; {_LARGER}"
    return _LARGER.removeprefix("or ")


def _disk_name(disk: Disk) -> str:
    return "data" if disk.path == DATA else disk.path


def _disk_state(disk: Disk) -> State:
    if disk.read_only or disk.free_ratio < DISK_RED or disk.inodes_free_ratio < DISK_RED:
        return "red"
    return "amber" if disk.free_ratio < DISK_AMBER else "green"


def network(facts: Facts) -> Part:
    if not facts.addresses:
        remedy = "is its network card connected? does DHCP answer? Or set a static address: `appliance setup`"
        return Part("network", "red", "no address", "this machine has no network address", remedy)
    summary = ", ".join(facts.addresses)
    if facts.has_default_route is False:
        return Part(
            "network",
            "amber",
            summary,
            "no default route: only the local network can be reached",
            "set system.network.ipv4.gateway, unless this is intended",
        )
    return Part("network", "green", summary)


def time(facts: Facts) -> Part:
    clock = facts.clock
    if clock.not_before and facts.now < clock.not_before - 86400:
        return Part(
            "time",
            "red",
            "wrong",
            "the clock is wrong: it is earlier than this program's build date",
            "set system.ntp.servers to a time server that answers, and see `chronyc sources`",
        )
    if (behind := _behind_loki(facts)) is not None:
        return behind
    for problem in (facts.relay or {}).get("problems") or []:
        if problem.get("part") == "time":
            return Part("time", "amber", "differs from senders'", problem["problem"], problem["remedy"])
    if clock.synchronized is None:
        return Part("time", "green", "not known")
    if clock.synchronized:
        return Part("time", "green", "synchronized")
    if facts.uptime < SETTLING:
        return Part("time", "green", "not yet synchronized")
    return Part(
        "time",
        "amber",
        "not synchronized",
        "the clock is not synchronized: no time server answers",
        "do the names in system.ntp.servers resolve, and is UDP port 123 open outwards? `appliance check` tests each",
    )


SKEW_AMBER, SKEW_RED = 10.0, 120.0  # seconds between this clock and Loki's


def _behind_loki(facts: Facts) -> Part | None:
    """Return what there is to say when this clock and Loki's differ; None when they agree, or nobody knows."""
    loki = section(facts.relay, "loki")
    skew = loki.get("clock_skew")
    if not isinstance(skew, (int, float)) or abs(skew) < SKEW_AMBER:
        return None
    cause = f"this clock is {length_of_time(abs(skew))} {'behind' if skew > 0 else 'ahead of'} Loki's"
    if held := loki.get("held_for_clock"):
        cause += f"; {held} lines that Loki's clock refuses wait here"
    elif stamped := section(facts.relay, "recent").get("restamped"):
        cause += f"; {stamped} lines got the time of receipt in the last 15 min"
    remedy = (
        "this clock is synchronized: check the clock of Loki's machine, or of the proxy before it"
        if facts.clock.synchronized
        else "set system.ntp.servers to time servers that answer: `chronyc sources` shows them"
    )
    state: State = "red" if abs(skew) >= SKEW_RED else "amber"
    return Part(
        "time", state, f"{length_of_time(abs(skew))} {'behind' if skew > 0 else 'ahead of'} Loki", cause, remedy
    )


def certificates(facts: Facts) -> Part:
    name = "certificates"
    ill: list[tuple[float, Part]] = []
    summaries = []
    for certificate in facts.certificates:
        what = f"the {certificate.name} certificate"
        remedy = (
            "`appliance tls renew` makes a new one"
            if certificate.own
            else "get a new one and `appliance tls import` it"
        )
        if certificate.not_after is None:
            ill.append((0, Part(name, "red", "unreadable", f"{what} cannot be read: {certificate.error}", remedy)))
            continue
        left = certificate.not_after - facts.now
        summaries.append(f"{certificate.name} {length_of_time(left)}")
        if left <= 0:
            ill.append((left, Part(name, "red", "expired", f"{what} expired {length_of_time(-left)} ago", remedy)))
        elif certificate.not_before is not None and certificate.not_before > facts.now:
            clock = "the clock may be wrong: check time first"
            ill.append((0, Part(name, "red", "not valid yet", f"{what} is not valid yet", clock)))
        elif left < WARN_CERTIFICATE:
            ill.append(
                (
                    left,
                    Part(
                        name,
                        "amber",
                        f"{length_of_time(left)} left",
                        f"{what} expires in {length_of_time(left)}",
                        remedy,
                    ),
                )
            )
    if ill:
        return sorted(ill, key=lambda pair: (-RANK[pair[1].state], pair[0]))[0][1]
    return Part(name, "green", ", ".join(summaries) or "none in use")


def updates(facts: Facts) -> Part:
    updates = facts.updates
    if updates.restart_wanted:
        return Part(
            "updates",
            "amber",
            "restart required",
            "installed updates wait for a restart",
            "restart when convenient: `systemctl reboot`; nothing is lost meanwhile",
        )
    if updates.last_run is not None and facts.now - updates.last_run > UPDATES_LATE:
        cause = f"no check for updates in {length_of_time(facts.now - updates.last_run)}"
        remedy = "can Debian's servers be reached? set system.proxy if needed; `unattended-upgrade --debug`"
        return Part("updates", "amber", "late", cause, remedy)
    if updates.last_run is None:
        return Part("updates", "green", "not checked yet" if updates.installed else "not managed here")
    return Part("updates", "green", f"checked {length_of_time(facts.now - updates.last_run)} ago")


def services(facts: Facts) -> Part:
    ours = ("appliance-relay.service", "appliance-receiver.service", "rsyslog.service")
    other = [name for name in facts.failed_units if name not in ours]
    if other:
        return Part(
            "services",
            "amber",
            f"{len(other)} failed",
            f"{other[0]} failed",
            f"see `journalctl -u {other[0]}`, then `systemctl restart {other[0]}`",
        )
    return Part("services", "green", "none failed")
