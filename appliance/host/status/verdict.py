"""The verdict: facts in, a list of parts out, each green, amber or red, with cause and remedy. Pure.

Order matters twice: parts that are ill come first, and among them causes before what follows from
them (a full disk before the queue that cannot be written). `appliance status --json` prints exactly
this; docs/status-json.md promises its names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from appliance.host.status.facts import Disk, Facts, Unit

State = Literal["green", "amber", "red"]
RANK: dict[State, int] = {"green": 0, "amber": 1, "red": 2}

WARN_CERTIFICATE = 30 * 86400.0
DISK_AMBER, DISK_RED = 0.15, 0.05
SETTLING = 180.0  # seconds after start in which time may still be unsynchronised
UPDATES_LATE = 10 * 86400.0


@dataclass(frozen=True, slots=True)
class Part:
    """`summary` is always there; `cause` and `remedy` only when the part is not green."""

    name: str
    state: State
    summary: str
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    state: State
    headline: str
    parts: tuple[Part, ...]

    @property
    def exit_code(self) -> int:
        """0 well, 1 degraded, 2 broken."""
        return RANK[self.state]


def judge(facts: Facts) -> Verdict:
    """Return the verdict on these facts."""
    if facts.configured is False:
        cause = "this machine is not configured yet: it takes no logs"
        part = Part(
            "configuration", "red", "not configured", cause, "run `appliance setup`, or `appliance config apply FILE`"
        )
        return Verdict("red", f"{cause}; run `appliance setup`", (part, *_basics(facts)))
    parts = [*_basics(facts), *_log_path(facts)]
    order = {name: index for index, name in enumerate(_CAUSES_FIRST)}
    parts.sort(key=lambda part: (-RANK[part.state], order.get(part.name, len(order))))
    worst = parts[0]
    if worst.state == "green":
        return Verdict("green", _all_well(facts), tuple(parts))
    return Verdict(worst.state, f"{worst.cause}; {worst.remedy}" if worst.remedy else worst.cause, tuple(parts))


_CAUSES_FIRST = (
    "configuration", "disk", "relay", "rsyslog", "network", "time",
    "certificates", "loki", "queue", "messages", "updates", "services",
)  # fmt: skip


def _all_well(facts: Facts) -> str:
    loki = _dig(facts.relay, "loki")
    rate = loki.get("entries_per_second_60s")
    return "all is well" + (f": {rate:.1f} lines/s to Loki" if isinstance(rate, (int, float)) else "")


def _basics(facts: Facts) -> Iterator[Part]:
    for judge_part in (_configuration, _disk, _network, _time, _certificates, _updates, _services):
        yield judge_part(facts)


def _log_path(facts: Facts) -> Iterator[Part]:
    yield _relay(facts)
    yield _rsyslog(facts)
    if facts.relay is not None:
        yield _loki(facts.relay, facts.now)
        yield _queue(facts.relay)
        yield _messages(facts.relay)


# ---- the machine ----------------------------------------------------------------------------


def _configuration(facts: Facts) -> Part:
    name = "configuration"
    if facts.interrupted:
        return Part(
            name,
            "red",
            "cut short",
            "a change of configuration was cut short",
            "`appliance config recover` puts the state before it back",
        )
    if facts.unconfirmed_until is not None:
        left = max(0, round(facts.unconfirmed_until - facts.now))
        cause = f"the last change reverts in {left} s unless it is confirmed"
        return Part(name, "amber", "waits to be confirmed", cause, "`appliance config confirm` keeps it")
    if facts.generation is not None:
        return Part(name, "green", f"generation {facts.generation}")
    return Part(name, "green", "in force")


def _disk(facts: Facts) -> Part:
    if facts.data_mounted is False:
        return Part(
            "disk",
            "red",
            "data partition missing",
            "the data partition is not mounted: nothing can be stored",
            "see `journalctl -b -u var-lib-appliance.mount`; check the VM's disk",
        )
    ill = sorted(((_disk_state(disk), disk) for disk in facts.disks), key=lambda pair: -RANK[pair[0]])
    summary = ", ".join(f"{disk.path} {_size(disk.free)} free of {_size(disk.total)}" for disk in facts.disks)
    if not ill or ill[0][0] == "green":
        return Part("disk", "green", summary or "not looked at")
    state, disk = ill[0]
    if disk.read_only:
        cause, remedy = (
            f"{disk.path} can only be read",
            "its file system had errors: `journalctl -k`; restart to repair it",
        )
    elif disk.inodes_free_ratio < DISK_RED:
        cause, remedy = f"{disk.path} has no room for more files", "remove files there, or make the disk larger"
    else:
        cause = f"{disk.path} is {1 - disk.free_ratio:.0%} full ({_size(disk.free)} free)"
        remedy = (
            "give the VM a larger disk and restart it: the data partition grows by itself"
            if disk.path != "/"
            else "`apt-get clean`, and look for large files with `du -xh / | sort -h | tail`"
        )
    return Part("disk", state, summary, cause, remedy)


def _disk_state(disk: Disk) -> State:
    if disk.read_only or disk.free_ratio < DISK_RED or disk.inodes_free_ratio < DISK_RED:
        return "red"
    return "amber" if disk.free_ratio < DISK_AMBER else "green"


def _network(facts: Facts) -> Part:
    if not facts.addresses:
        remedy = "is its network card connected? does DHCP answer? else set a static address: `appliance setup`"
        return Part("network", "red", "no address", "this machine has no network address", remedy)
    summary = ", ".join(facts.addresses)
    if facts.has_default_route is False:
        return Part(
            "network",
            "amber",
            summary,
            "there is no default route: only the own network can be reached",
            "set system.network.ipv4.gateway, unless this is meant",
        )
    return Part("network", "green", summary)


def _time(facts: Facts) -> Part:
    clock = facts.clock
    if clock.not_before and facts.now < clock.not_before - 86400:
        return Part(
            "time",
            "red",
            "wrong",
            "the clock is wrong: it is before this program was made",
            "set system.ntp.servers to a time server that answers, and see `chronyc sources`",
        )
    if clock.synchronised is None:
        return Part("time", "green", "not known")
    if clock.synchronised:
        return Part("time", "green", "synchronised")
    if facts.uptime < SETTLING:
        return Part("time", "green", "not yet synchronised")
    return Part(
        "time",
        "amber",
        "not synchronised",
        "the clock is not synchronised: no time server answers",
        "check system.ntp.servers and UDP port 123 outwards; `chronyc sources` shows them",
    )


def _certificates(facts: Facts) -> Part:
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
        summaries.append(f"{certificate.name} {_days(left)}")
        if left <= 0:
            ill.append((left, Part(name, "red", "expired", f"{what} expired {_days(-left)} ago", remedy)))
        elif certificate.not_before is not None and certificate.not_before > facts.now:
            clock = "the clock may be wrong: check time first"
            ill.append((0, Part(name, "red", "not valid yet", f"{what} is not valid yet", clock)))
        elif left < WARN_CERTIFICATE:
            ill.append((left, Part(name, "amber", f"{_days(left)} left", f"{what} expires in {_days(left)}", remedy)))
    if ill:
        return sorted(ill, key=lambda pair: (-RANK[pair[1].state], pair[0]))[0][1]
    return Part(name, "green", ", ".join(summaries) or "none in use")


def _updates(facts: Facts) -> Part:
    updates = facts.updates
    if updates.restart_wanted:
        return Part(
            "updates",
            "amber",
            "restart wanted",
            "installed updates wait for a restart",
            "restart when it suits: `systemctl reboot`; nothing is lost meanwhile",
        )
    if updates.last_run is not None and facts.now - updates.last_run > UPDATES_LATE:
        cause = f"no update was looked for in {_days(facts.now - updates.last_run)}"
        remedy = "can Debian's servers be reached? set system.proxy if needed; `unattended-upgrade --debug`"
        return Part("updates", "amber", "late", cause, remedy)
    if updates.last_run is None:
        return Part("updates", "green", "none looked for yet" if updates.installed else "not managed here")
    return Part("updates", "green", f"looked for {_days(facts.now - updates.last_run)} ago")


def _services(facts: Facts) -> Part:
    ours = ("appliance-relay.service", "rsyslog.service")
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


# ---- the path of a log line -----------------------------------------------------------------


def _relay(facts: Facts) -> Part:
    unit = facts.units.get("appliance-relay.service", Unit("appliance-relay.service"))
    see = "see `journalctl -u appliance-relay`, then `systemctl restart appliance-relay`"
    if facts.relay is None:
        if facts.systemd and unit.active and unit.active != "active":
            cause = f"the relay is not running ({unit.active}{_result(unit)})"
            return Part("relay", "red", unit.active, cause, f"{see}; rsyslog keeps what arrives meanwhile")
        return Part(
            "relay", "red", "no answer", f"the relay does not answer: {facts.relay_error or 'no reason known'}", see
        )
    reason = facts.relay.get("not_ready_reason")
    if reason:
        return Part("relay", "red", "not ready", f"the relay is not ready: {reason}", see)
    if facts.relay.get("config_reload_failures"):
        cause = "the relay refused a new configuration and goes on with the old"
        remedy = "`appliance config validate`, then `systemctl restart appliance-relay`"
        return Part("relay", "amber", "old configuration", cause, remedy)
    if unit.restarts > 3 and facts.relay.get("uptime", 1e9) < 600:
        return Part("relay", "amber", "restarts", f"the relay was restarted {unit.restarts} times", see)
    return Part("relay", "green", f"running for {_days(float(facts.relay.get('uptime', 0)))}")


def _rsyslog(facts: Facts) -> Part:
    unit = facts.units.get("rsyslog.service")
    see = "see `journalctl -u rsyslog`, then `systemctl restart rsyslog`"
    if facts.systemd and unit is not None and unit.active != "active":
        state = unit.active or "unknown"
        cause = f"rsyslog is not running ({state}{_result(unit)}): syslog from the network is lost"
        return Part("rsyslog", "red", state, cause, see)
    problem = _problem(facts.relay, "rsyslog")
    if problem:
        return Part("rsyslog", "amber", "not well", *problem)
    queue = _dig(facts.relay, "rsyslog").get("queue")
    return Part("rsyslog", "green", "running" + (f", {queue} in its queue" if queue else ""))


def _loki(relay: dict[str, Any], now: float) -> Part:
    loki = _dig(relay, "loki")
    url, state = loki.get("url", ""), loki.get("state", "idle")
    error = loki.get("last_error") or {}
    cause = error.get("cause") or "Loki does not take what is sent"
    remedy = error.get("remedy") or "`appliance test loki` finds out why"
    if state == "held":
        return Part("loki", "red", f"refuses ({url})", cause, remedy)
    if state == "waiting":
        last = loki.get("last_success")
        since = f", last taken {_days(now - last)} ago" if isinstance(last, (int, float)) else ""
        return Part("loki", "red", f"not reached ({url})", f"{cause}{since}", f"{remedy}; nothing is lost meanwhile")
    if state == "idle" and not loki.get("entries"):
        return Part("loki", "green", f"nothing sent yet ({url})")
    return Part("loki", "green", f"{loki.get('entries_per_second_60s', 0):.1f} lines/s to {url}")


def _queue(relay: dict[str, Any]) -> Part:
    queue = _dig(relay, "queue")
    size, ratio = _size(int(queue.get("bytes", 0))), float(queue.get("fill_ratio", 0))
    summary = f"{queue.get('entries', 0)} lines, {size}"
    problem = _problem(relay, "queue")
    if queue.get("full"):
        policy = "senders are held back" if queue.get("when_full") == "block" else "the oldest lines are given up"
        cause, remedy = problem or ("the spool is full", "bring Loki back, or enlarge the data disk")
        return Part("queue", "red", f"full, {summary}", f"{cause}; {policy}", remedy)
    if problem:
        return Part("queue", "amber", f"{ratio:.0%} full, {summary}", *problem)
    return Part("queue", "green", summary if queue.get("entries") else "empty")


def _messages(relay: dict[str, Any]) -> Part:
    rates = [float(i.get("messages_per_second_60s", 0)) for i in _dig(relay, "inputs").values() if isinstance(i, dict)]
    summary = f"{sum(rates):.1f} lines/s from {_dig(relay, 'sources').get('count', 0)} sources"
    known = ("loki", "queue", "rsyslog", "relay")
    for problem in relay.get("problems") or []:
        if problem.get("part") not in known:
            return Part("messages", "amber", summary, problem.get("problem", ""), problem.get("remedy", ""))
    return Part("messages", "green", summary)


# ---- pieces ---------------------------------------------------------------------------------


def _problem(relay: dict[str, Any] | None, part: str) -> tuple[str, str] | None:
    """Return cause and remedy of what the relay itself finds wrong with a part."""
    for problem in (relay or {}).get("problems") or []:
        if problem.get("part") == part:
            return problem.get("problem", ""), problem.get("remedy", "")
    return None


def _dig(relay: dict[str, Any] | None, key: str) -> dict[str, Any]:
    value = (relay or {}).get(key)
    return value if isinstance(value, dict) else {}


def _result(unit: Unit) -> str:
    return f", {unit.result}" if unit.result not in ("", "success") else ""


def _size(number: int) -> str:
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _days(seconds: float) -> str:
    """Return a length of time in its largest fitting unit."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
