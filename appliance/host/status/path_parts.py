"""The parts of a log line's way: relay, receiver, rsyslog, Loki, queue, messages, as the relay reports them. Pure."""

from typing import Any

from appliance.host.status.facts import Facts
from appliance.host.status.part import Part, length_of_time, section, size
from appliance.host.units import Unit

_STARTING = "wait a moment and check again"
_COUNTERS_WITHIN = 60.0  # seconds after its start in which rsyslog has written its counters, which it does every 10
_LONGEST = 365 * 86400.0  # seconds; what lasts longer is not worth a number


def relay(facts: Facts) -> Part:
    unit = facts.units.get("appliance-relay.service", Unit("appliance-relay.service"))
    see = "see `journalctl -u appliance-relay`, then `systemctl restart appliance-relay`"
    if facts.relay is None:
        if _is_starting(unit, facts):
            return Part("relay", "amber", "starting", "the relay is starting", _STARTING)
        if facts.systemd and unit.active and unit.active != "active":
            cause = f"the relay is not running ({unit.active}{_result(unit)})"
            return Part("relay", "red", unit.active, cause, f"{see}; rsyslog keeps what arrives meanwhile")
        return Part(
            "relay", "red", "no answer", f"the relay does not answer: {facts.relay_error or 'no reason known'}", see
        )
    reason = facts.relay.get("not_ready_reason")
    if reason == "starting":
        return Part("relay", "amber", "starting", "the relay is starting", _STARTING)
    if reason and not section(facts.relay, "queue").get("full"):
        return Part("relay", "red", "not ready", f"the relay is not ready: {reason}", see)
    if facts.relay.get("config_reload_failures"):
        cause = "the relay refused a new configuration and keeps using the old one"
        remedy = "`appliance config validate`, then `systemctl restart appliance-relay`"
        return Part("relay", "amber", "old configuration", cause, remedy)
    if unit.restarts > 3 and facts.relay.get("uptime", 1e9) < 600:
        return Part("relay", "amber", "restarts", f"the relay was restarted {unit.restarts} times", see)
    running = f"running for {length_of_time(float(facts.relay.get('uptime', 0)))}"
    # A full spool is no fault of the relay: its cause and remedy are the queue's or the disk's.
    return Part("relay", "green", f"{running}, accepts no lines" if reason else running)


def receiver(facts: Facts) -> Part:
    unit = facts.units.get("appliance-receiver.service")
    see = "see `journalctl -u appliance-receiver`, then `systemctl restart appliance-receiver`"
    if facts.systemd and unit is not None and unit.active != "active":
        if _is_starting(unit, facts):
            return Part("receiver", "amber", "starting", "the receiver is starting", _STARTING)
        active = unit.active or "unknown"
        cause = f"the receiver is not running ({active}{_result(unit)}): senders over plain TCP have to wait"
        return Part("receiver", "red", active, cause, see)
    problem = _problem(facts.relay, "receiver")
    if problem:
        return Part("receiver", "amber", "problems", *problem)
    state = section(facts.relay, "receiver")
    if not state.get("port"):
        return Part("receiver", "green", "running, listeners.tcp is off" if state else "running")
    return Part("receiver", "green", f"running, {state.get('connections', 0)} connections to port {state['port']}")


def rsyslog(facts: Facts) -> Part:
    unit = facts.units.get("rsyslog.service")
    see = "see `journalctl -u rsyslog`, then `systemctl restart rsyslog`"
    if facts.systemd and unit is not None and unit.active != "active":
        if _is_starting(unit, facts):
            return Part("rsyslog", "amber", "starting", "rsyslog is starting", _STARTING)
        state = unit.active or "unknown"
        cause = f"rsyslog is not running ({state}{_result(unit)}): syslog from the network is lost"
        return Part("rsyslog", "red", state, cause, see)
    if facts.relay is not None and unit is not None and (unit.since or 0) > _COUNTERS_WITHIN:
        counters = section(facts.relay, "rsyslog")
        if not counters or counters.get("stale"):
            cause = "rsyslog runs, but writes no counters: it may take no messages"
            return Part("rsyslog", "red", "not working", cause, see)
    problem = _problem(facts.relay, "rsyslog")
    if problem:
        return Part("rsyslog", "amber", "problems", *problem)
    queue, refused = section(facts.relay, "rsyslog").get("queue"), facts.connections_refused
    return Part(
        "rsyslog",
        "green",
        "running"
        + (f", {queue} in its queue" if queue else "")
        + (f", {refused} connections over max_connections refused" if refused else ""),
    )


def handover(relay: dict[str, Any]) -> Part:
    """Return what rsyslog and the receiver wrote to files, and the relay has not read."""
    state = section(relay, "handover")
    waiting, age = int(state.get("backlog_bytes", 0)), float(state.get("oldest_age", 0))
    summary = f"{size(waiting)} wait for the relay, the oldest for {length_of_time(age)}" if waiting else "empty"
    problem = _problem(relay, "handover")
    if problem:
        return Part("handover", "red", summary, *problem)
    return Part("handover", "green", summary)


def loki(relay: dict[str, Any], now: float) -> Part:
    loki = section(relay, "loki")
    url, state = loki.get("url", ""), loki.get("state", "idle")
    error = loki.get("last_error") or {}
    cause = error.get("cause") or "Loki does not accept what is sent"
    remedy = error.get("remedy") or "`appliance test loki` finds out why"
    if state in ("held", "waiting"):
        last = loki.get("last_success")
        since = f"; last line accepted {length_of_time(now - last)} ago" if isinstance(last, (int, float)) else ""
        summary = f"refuses ({url})" if state == "held" else f"not reached ({url})"
        return Part("loki", "red", summary, f"{cause}{since}", f"{remedy}; {_meanwhile(relay)}")
    if state == "idle" and not loki.get("entries"):
        return Part("loki", "green", f"nothing sent yet ({url})")
    return Part("loki", "green", f"{loki.get('entries_per_second_60s', 0):.1f} lines/s, to {url}")


def queue(relay: dict[str, Any]) -> Part:
    state = section(relay, "queue")
    ratio = float(state.get("fill_ratio", 0))
    summary = f"{state.get('entries', 0)} lines, {size(int(state.get('bytes', 0)))}"
    problem = _problem(relay, "queue")
    if state.get("full"):
        policy = "senders are held back" if state.get("when_full") == "block" else "the oldest lines are dropped"
        cause, remedy = problem or ("the spool is full", "bring Loki back, or enlarge the data disk")
        # Full with hardly anything in it: others fill its disk.
        summary = f"full, {summary}" if ratio >= 0.5 else f"no room on its disk, {summary} in it"
        return Part("queue", "red", summary, f"{cause}; {policy}", remedy)
    if problem:
        return Part("queue", "amber", f"{ratio:.0%} full, {summary}", *problem)
    return Part("queue", "green", summary if state.get("entries") else "empty")


def messages(relay: dict[str, Any], now: float) -> Part:
    senders = section(relay, "sources")
    summary = f"{_rate(relay):.1f} lines/s, {senders.get('count', 0)} sources"
    silent = [one for one in senders.get("silent") or [] if isinstance(one, dict)]
    if silent:
        summary += f", {len(silent)} silent"
    known = ("loki", "queue", "receiver", "rsyslog", "relay", "handover", "time")
    for problem in relay.get("problems") or []:
        if problem.get("part") not in known:
            return Part("messages", "amber", summary, problem.get("problem", ""), problem.get("remedy", ""))
    if silent:
        return Part("messages", "amber", summary, *_silence(silent, now))
    return Part("messages", "green", summary)


def _silence(silent: list[dict[str, Any]], now: float) -> tuple[str, str]:
    """Return cause and remedy of senders that sent regularly and do so no more."""
    first = silent[0]
    known = float(first.get("last_seen", 0)) - float(first.get("first_seen", 0))
    usual = known / max(1, int(first.get("messages", 1)))
    more = f", and {len(silent) - 1} more" if len(silent) > 1 else ""
    cause = (
        f"{first.get('sender')} has sent nothing for {length_of_time(now - float(first.get('last_seen', now)))}{more} "
        f"(before: a line every {length_of_time(max(1.0, usual))})"
    )
    return cause, "is it up, and does it still send here? `appliance sources` shows how to configure it"


def lasts(relay: dict[str, Any]) -> float | None:
    """Return for how many seconds the spool has room at the present rate; None when that is not known."""
    state = section(relay, "queue")
    entries, room, rate = state.get("entries", 0), state.get("room_bytes"), _rate(relay)
    if not entries or not isinstance(room, (int, float)) or rate <= 0:
        return None
    return float(room) / (rate * float(state.get("bytes", 0)) / float(entries) or 1.0)


def _meanwhile(relay: dict[str, Any]) -> str:
    """Say what becomes of lines while Loki is away, and for how long."""
    state, left = section(relay, "queue"), lasts(relay)
    waiting = f"{state.get('entries')} lines wait here" if state.get("entries") else "lines wait here"
    if left is None or state.get("full"):
        return f"{waiting}, nothing is lost"
    if left >= _LONGEST:
        return f"{waiting}, nothing is lost: the spool has room for more than a year at the present rate"
    return f"{waiting}, nothing is lost: the spool has room for another {length_of_time(left)} at the present rate"


def _rate(relay: dict[str, Any]) -> float:
    """Return the lines that come a second, averaged over a minute."""
    return sum(
        float(one.get("messages_per_second_60s", 0))
        for one in section(relay, "inputs").values()
        if isinstance(one, dict)
    )


def _is_starting(unit: Unit, facts: Facts) -> bool:
    """Return whether a unit that is not active yet is only on its way: not one that failed before."""
    if unit.restarts or unit.active == "failed" or unit.sub == "auto-restart":
        return False
    return unit.active in ("activating", "reloading") or (facts.booting and unit.active != "active")


def _problem(relay: dict[str, Any] | None, part: str) -> tuple[str, str] | None:
    """Return cause and remedy of what the relay itself finds wrong with a part."""
    for problem in (relay or {}).get("problems") or []:
        if problem.get("part") == part:
            return problem.get("problem", ""), problem.get("remedy", "")
    return None


def _result(unit: Unit) -> str:
    return f", {unit.result}" if unit.result not in ("", "success") else ""
