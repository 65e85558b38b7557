"""The parts of a log line's way: relay, rsyslog, Loki, queue, messages, as the relay itself tells them. Pure."""

from typing import Any

from appliance.host.status.facts import Facts
from appliance.host.status.part import Part, length_of_time, section, size
from appliance.host.units import Unit


def relay(facts: Facts) -> Part:
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
    return Part("relay", "green", f"running for {length_of_time(float(facts.relay.get('uptime', 0)))}")


def rsyslog(facts: Facts) -> Part:
    unit = facts.units.get("rsyslog.service")
    see = "see `journalctl -u rsyslog`, then `systemctl restart rsyslog`"
    if facts.systemd and unit is not None and unit.active != "active":
        state = unit.active or "unknown"
        cause = f"rsyslog is not running ({state}{_result(unit)}): syslog from the network is lost"
        return Part("rsyslog", "red", state, cause, see)
    problem = _problem(facts.relay, "rsyslog")
    if problem:
        return Part("rsyslog", "amber", "not well", *problem)
    queue, refused = section(facts.relay, "rsyslog").get("queue"), facts.connections_refused
    return Part(
        "rsyslog",
        "green",
        "running"
        + (f", {queue} in its queue" if queue else "")
        + (f", {refused} connections over max_connections refused" if refused else ""),
    )


def loki(relay: dict[str, Any], now: float) -> Part:
    loki = section(relay, "loki")
    url, state = loki.get("url", ""), loki.get("state", "idle")
    error = loki.get("last_error") or {}
    cause = error.get("cause") or "Loki does not take what is sent"
    remedy = error.get("remedy") or "`appliance test loki` finds out why"
    if state == "held":
        return Part("loki", "red", f"refuses ({url})", cause, remedy)
    if state == "waiting":
        last = loki.get("last_success")
        since = f", last taken {length_of_time(now - last)} ago" if isinstance(last, (int, float)) else ""
        return Part("loki", "red", f"not reached ({url})", f"{cause}{since}", f"{remedy}; nothing is lost meanwhile")
    if state == "idle" and not loki.get("entries"):
        return Part("loki", "green", f"nothing sent yet ({url})")
    return Part("loki", "green", f"{loki.get('entries_per_second_60s', 0):.1f} lines/s, to {url}")


def queue(relay: dict[str, Any]) -> Part:
    state = section(relay, "queue")
    ratio = float(state.get("fill_ratio", 0))
    summary = f"{state.get('entries', 0)} lines, {size(int(state.get('bytes', 0)))}"
    problem = _problem(relay, "queue")
    if state.get("full"):
        policy = "senders are held back" if state.get("when_full") == "block" else "the oldest lines are given up"
        cause, remedy = problem or ("the spool is full", "bring Loki back, or enlarge the data disk")
        return Part("queue", "red", f"full, {summary}", f"{cause}; {policy}", remedy)
    if problem:
        return Part("queue", "amber", f"{ratio:.0%} full, {summary}", *problem)
    return Part("queue", "green", summary if state.get("entries") else "empty")


def messages(relay: dict[str, Any]) -> Part:
    rates = [
        float(i.get("messages_per_second_60s", 0)) for i in section(relay, "inputs").values() if isinstance(i, dict)
    ]
    summary = f"{sum(rates):.1f} lines/s, {section(relay, 'sources').get('count', 0)} sources"
    known = ("loki", "queue", "rsyslog", "relay")
    for problem in relay.get("problems") or []:
        if problem.get("part") not in known:
            return Part("messages", "amber", summary, problem.get("problem", ""), problem.get("remedy", ""))
    return Part("messages", "green", summary)


def _problem(relay: dict[str, Any] | None, part: str) -> tuple[str, str] | None:
    """Return cause and remedy of what the relay itself finds wrong with a part."""
    for problem in (relay or {}).get("problems") or []:
        if problem.get("part") == part:
            return problem.get("problem", ""), problem.get("remedy", "")
    return None


def _result(unit: Unit) -> str:
    return f", {unit.result}" if unit.result not in ("", "success") else ""
