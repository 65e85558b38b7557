"""What rsyslogd says twice is shown once; what is said twice in earnest stays."""

from appliance.host.apply.health import journal_reason
from appliance.host.journal import said_once
from appliance.host.runner import Answer, Notes

BIND = "Error while binding tcp socket: Address already in use [v8.2302.0]"
LISTEN = "Could not create tcp listener, ignoring port 514 [v8.2302.0]"


def test_an_error_of_rsyslogd_is_shown_once_whichever_comes_first() -> None:
    assert said_once([f"rsyslogd: {BIND}", f"rsyslogd: {LISTEN}", BIND, LISTEN]) == [BIND, LISTEN]
    assert said_once([BIND, f"rsyslogd: {BIND}", LISTEN, f"rsyslogd: {LISTEN}"]) == [BIND, LISTEN]


def test_with_stamps_and_processes_before_them_too() -> None:
    at = "2026-11-27T10:00:0{}+00:00 forwarder rsyslogd[412]: "
    lines = [at.format(0) + "rsyslogd: " + BIND, at.format(1) + BIND, at.format(2) + "start"]
    assert said_once(lines) == [lines[1], lines[2]]


def test_what_only_standard_error_says_and_what_is_said_again_stays() -> None:
    fatal = "rsyslogd: there are no active actions configured."
    assert said_once([fatal]) == [fatal]
    assert said_once([BIND, BIND]) == [BIND, BIND]
    assert said_once(["a: x", "rsyslogd: y"]) == ["a: x", "rsyslogd: y"]


def test_the_reason_of_a_failed_unit_has_each_error_once() -> None:
    out = f"rsyslogd: {BIND}\nrsyslogd: {LISTEN}\n{BIND}\n{LISTEN}\n"
    runner = Notes(answers={"journalctl": Answer(0, out)})
    assert journal_reason("rsyslog.service", runner, 0) == f"{BIND}; {LISTEN}"
