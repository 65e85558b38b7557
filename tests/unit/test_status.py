"""`appliance status`: in each broken state the cause comes first, with its remedy; and it is quick."""

import dataclasses
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.host.layout import Layout
from appliance.host.runner import Answer, Notes
from appliance.host.status.disk_usage import largest_below
from appliance.host.status.facts import Certificate, Clock, Disk, Facts, Updates
from appliance.host.status.gather import gather
from appliance.host.status.verdict import Reader, judge
from appliance.host.units import Unit
from appliance.relay.report.x509_dates import dates

NOW = 1_800_000_000.0
GIB = 2**30
RELAY: dict[str, Any] = {
    "version": "1.0.0", "uptime": 90000.0, "ready": True, "not_ready_reason": "", "problems": [],
    "inputs": {"udp": {"messages_per_second_60s": 12.5}},
    "queue": {"batches": 0, "entries": 0, "bytes": 0, "fill_ratio": 0.0, "full": False, "when_full": "block"},
    "loki": {"state": "ok", "url": "http://loki:3100/loki/api/v1/push", "entries": 10, "entries_per_second_60s": 12.4,
             "last_success": NOW - 1, "last_error": None},
    "sources": {"count": 3}, "rsyslog": {"queue": 0}, "config_reload_failures": 0,
}  # fmt: skip
WELL = Facts(
    now=NOW, uptime=90000, hostname="forwarder", as_root=True, configured=True, addresses=("192.0.2.9",),
    has_default_route=True, relay=RELAY, data_mounted=True, generation=4,
    units={name: Unit(name, "loaded", "active") for name in (
        "appliance-relay.service", "appliance-receiver.service", "rsyslog.service",
    )},
    disks=(Disk("/", 4 * GIB, 2 * GIB), Disk("/var/lib/appliance", 50 * GIB, 40 * GIB)),
    clock=Clock(synchronized=True, not_before=NOW - 1e6), updates=Updates(True, NOW - 3600),
    certificates=(Certificate("server", "/s.crt", NOW - 1e6, NOW + 200 * 86400, own=True),),
)  # fmt: skip


def but(**changes: Any) -> Facts:
    return dataclasses.replace(WELL, **changes)


def relay(**changes: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(RELAY))
    for key, value in changes.items():
        copy[key] = {**copy[key], **value} if isinstance(value, dict) and isinstance(copy.get(key), dict) else value
    return copy


def unit(name: str, active: str, result: str = "") -> dict[str, Unit]:
    return {**WELL.units, name: Unit(name, "loaded", active, result=result)}


def test_when_all_is_well_it_says_so_in_one_line() -> None:
    verdict = judge(WELL)
    assert verdict.state == "green" and verdict.exit_code == 0
    assert verdict.headline == "all is well: 12.4 lines/s to Loki"
    assert all(not part.cause and part.summary for part in verdict.parts)


def test_connections_that_the_firewall_refused_over_a_listeners_bound_are_counted() -> None:
    [part] = [part for part in judge(but(connections_refused=7)).parts if part.name == "rsyslog"]
    assert part.summary == "running, 7 connections over max_connections refused"
    out = '{"nftables": [{"counter": {"name": "too_many", "packets": 12, "bytes": 720}}]}'
    asked = []

    def runner(command: Sequence[str], **_: Any) -> Answer:
        asked.append(command[0])
        return Answer(0, out) if command[0] == "nft" else Answer(1, "")

    found = gather(runner=runner).connections_refused
    assert found == (12 if os.geteuid() == 0 else None)
    assert ("nft" in asked) == (os.geteuid() == 0)


REFUSED = {
    "state": "held",
    "last_error": {"when": NOW, "cause": "Loki refuses our token (401)", "remedy": "check loki.bearer_token_file"},
}
FULL = [{"part": "queue", "problem": "the spool is full: disk", "remedy": "enlarge"}]
DEAD_RELAY = but(
    relay=None, relay_error="Connection refused", units=unit("appliance-relay.service", "failed", "exit-code")
)
BROKEN = [
    ("relay dead", DEAD_RELAY, "red", "relay", "the relay is not running (failed, exit-code)", "journalctl"),
    ("relay hangs", but(relay=None, relay_error="no answer within 2 s"), "red", "relay", "does not answer", "restart"),
    (
        "receiver dead",
        but(units=unit("appliance-receiver.service", "failed", "exit-code")),
        "red",
        "receiver",
        "the receiver is not running (failed, exit-code)",
        "journalctl",
    ),
    (
        "TLS to the plain port",
        but(
            relay=relay(
                problems=[
                    {
                        "part": "receiver",
                        "problem": "10.0.0.9 speaks TLS to the plain port 514",
                        "remedy": "point 10.0.0.9 to port 6514",
                    }
                ]
            )
        ),
        "amber",
        "receiver",
        "10.0.0.9 speaks TLS to the plain port 514",
        "6514",
    ),
    (
        "rsyslog dead",
        but(units=unit("rsyslog.service", "inactive")),
        "red",
        "rsyslog",
        "rsyslog is not running",
        "start",
    ),
    ("token refused", but(relay=relay(loki=REFUSED)), "red", "loki", "Loki refuses our token", "bearer_token_file"),
    (
        "loki away",
        but(
            relay=relay(
                loki={"state": "waiting", "last_error": {"cause": "connection refused", "remedy": "is Loki up?"}}
            )
        ),
        "red",
        "loki",
        "connection refused",
        "nothing is lost",
    ),
    (
        "disk full",
        but(disks=(Disk("/var/lib/appliance", 50 * GIB, GIB // 10),), relay=relay(queue={"full": True}, problems=FULL)),
        "red",
        "disk",
        "100% full",
        "larger disk",
    ),
    ("disk read-only", but(disks=(Disk("/", GIB, GIB, read_only=True),)), "red", "disk", "can only be read", "repair"),
    ("no data partition", but(data_mounted=False), "red", "disk", "not mounted", "journalctl"),
    (
        "spool full",
        but(relay=relay(queue={"full": True}, problems=FULL)),
        "red",
        "queue",
        "senders are held back",
        "enlarge",
    ),
    ("clock long past", but(clock=Clock(True, not_before=NOW + 1e7)), "red", "time", "clock is wrong", "ntp"),
    ("clock adrift", but(clock=Clock(False)), "amber", "time", "not synchronized", "123"),
    (
        "certificate expired",
        but(certificates=(Certificate("server", "/s", 0, NOW - 3 * 86400, own=True),)),
        "red",
        "certificates",
        "expired 3 d ago",
        "tls renew",
    ),
    (
        "foreign certificate ends",
        but(certificates=(Certificate("server", "/s", 0, NOW + 20 * 86400),)),
        "amber",
        "certificates",
        "expires in 20 d",
        "tls import",
    ),
    (
        "certificate damaged",
        but(certificates=(Certificate("server", "/s", error="no certificate in PEM form"),)),
        "red",
        "certificates",
        "cannot be read",
        "import",
    ),
    ("no address", but(addresses=()), "red", "network", "no network address", "DHCP"),
    ("no route", but(has_default_route=False), "amber", "network", "no default route", "gateway"),
    ("not configured", but(configured=False, relay=None), "red", "configuration", "not configured", "setup"),
    ("unconfirmed", but(unconfirmed_until=NOW + 30), "amber", "configuration", "reverts in 30 s", "confirm"),
    ("apply cut short", but(interrupted=True), "red", "configuration", "interrupted", "recover"),
    ("restart required", but(updates=Updates(True, NOW, True)), "amber", "updates", "wait for a restart", "reboot"),
    ("updates stuck", but(updates=Updates(True, NOW - 20 * 86400)), "amber", "updates", "in 20 d", "proxy"),
    (
        "other unit failed",
        but(failed_units=("chrony.service",)),
        "amber",
        "services",
        "chrony.service failed",
        "journalctl",
    ),
    (
        "relay not ready",
        but(relay=relay(not_ready_reason="the spool cannot be written")),
        "red",
        "relay",
        "spool",
        "restart",
    ),
    ("old configuration", but(relay=relay(config_reload_failures=1)), "amber", "relay", "refused a new", "validate"),
    (
        "udp losses",
        but(relay=relay(problems=[{"part": "udp", "problem": "dropped 5", "remedy": "raise it"}])),
        "amber",
        "messages",
        "dropped 5",
        "raise it",
    ),
]


@pytest.mark.parametrize(
    ("facts", "state", "part", "cause", "remedy"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN]
)
def test_each_broken_state_names_its_cause_first_and_a_remedy(
    facts: Facts, state: str, part: str, cause: str, remedy: str
) -> None:
    verdict = judge(facts)
    first = verdict.parts[0]
    assert (verdict.state, first.name, first.state) == (state, part, state)
    assert cause in first.cause and remedy in first.remedy
    assert verdict.headline.startswith(first.cause)
    assert verdict.exit_code == {"amber": 1, "red": 2}[state]


def test_no_part_stands_there_twice() -> None:
    for name, facts, *_ in BROKEN:
        names = [found.name for found in judge(facts).parts]
        assert len(names) == len(set(names)), name


def test_a_full_disk_is_told_before_what_follows_from_it() -> None:
    facts = but(disks=(Disk("/", GIB, 0),), relay=relay(queue={"full": True}, problems=FULL, loki=REFUSED))
    assert [part.name for part in judge(facts).parts[:3]] == ["disk", "loki", "queue"]


def test_nothing_known_at_all_is_still_a_verdict() -> None:
    assert judge(Facts(now=NOW)).state == "red"


def with_relay_away(**changes: Any) -> Facts:
    return but(relay=None, relay_error="Connection refused on 127.0.0.1 port 9081", **changes)


def part(facts: Facts, name: str, reader: Reader | None = None) -> Any:
    return next(part for part in judge(facts, reader).parts if part.name == name)


def test_early_in_boot_a_service_is_starting_and_nobody_is_told_to_restart_it() -> None:
    inactive = unit("appliance-relay.service", "inactive")
    found = part(with_relay_away(units=inactive, booting=True), "relay")
    assert (found.state, found.summary) == ("amber", "starting") and "restart" not in found.remedy
    assert part(with_relay_away(units=inactive), "relay").state == "red"
    activating = {**WELL.units, "rsyslog.service": Unit("rsyslog.service", "loaded", "activating", "start")}
    assert part(but(units=activating), "rsyslog").summary == "starting"
    looping = {**WELL.units, "rsyslog.service": Unit("rsyslog.service", "loaded", "activating", "auto-restart")}
    assert part(but(units=looping), "rsyslog").state == "red"
    assert part(but(relay=relay(not_ready_reason="starting")), "relay").state == "amber"


AWAY = {"state": "waiting", "last_success": NOW - 240,
        "last_error": {"cause": "Loki refused the connection", "remedy": "check that Loki runs"}}  # fmt: skip


def test_an_outage_says_that_lines_wait_and_for_how_long_the_spool_lasts() -> None:
    waiting = {"entries": 1000, "bytes": 100_000, "room_bytes": 12.5 * 100 * 7200}
    found = part(but(relay=relay(loki=AWAY, queue=waiting)), "loki")
    assert found.cause == "Loki refused the connection; last line accepted 4 min ago"
    assert "1000 lines wait here, nothing is lost" in found.remedy
    assert "room for another 2 h at the present rate" in found.remedy
    still = relay(loki=AWAY, queue=waiting)
    still["inputs"] = {}
    assert "present rate" not in part(but(relay=still), "loki").remedy


def test_a_full_spool_does_not_blame_the_relay() -> None:
    full = relay(queue={"full": True}, problems=FULL, not_ready_reason="less than 512MiB are free on its file system")
    found = part(but(relay=full), "relay")
    assert found.state == "green" and "accepts no lines" in found.summary
    assert part(but(relay=full), "queue").summary == "no room on its disk, 0 lines, 0 B in it"


@pytest.mark.parametrize(
    ("largest", "remedy"),
    [
        ("/var/lib/appliance/spool", "bring Loki back"),
        ("/var/lib/appliance/journal", "journalctl --vacuum-size"),
        ("/var/lib/appliance/spool/dead-letters", "appliance dead-letters"),
        ("/var/lib/appliance/images", "remove what does not belong there from /var/lib/appliance/images"),
    ],
)
def test_a_full_disk_names_what_fills_it_and_the_remedy_is_about_that(largest: str, remedy: str) -> None:
    full = Disk("/var/lib/appliance", 50 * GIB, GIB, largest=((largest, 40 * GIB), ("/var/lib/appliance/x", GIB)))
    found = part(but(disks=(full,)), "disk")
    assert f"{largest} 40.0 GiB" in found.cause and remedy in found.remedy and "larger disk" in found.remedy


def test_what_fills_a_disk_is_found_largest_first(tmp_path: Path) -> None:
    data = tmp_path / "var/lib/appliance"
    for name, kib in (("spool/1.push", 64), ("spool/dead-letters/refused-1.jsonl", 400), ("journal/a/b.journal", 200)):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b"x" * kib * 1024)
    found = largest_below("/var/lib/appliance", Layout(tmp_path))
    assert [path.removeprefix("/var/lib/appliance/") for path, _ in found] == ["spool/dead-letters", "journal", "spool"]
    assert found[0][1] >= 400 * 1024


@pytest.mark.parametrize(
    ("reader", "remedy"),
    [
        (Reader.ROOT, "`appliance config confirm` keeps it"),
        (Reader.USER, "`sudo appliance config confirm` keeps it"),
        (Reader.CONSOLE, "C keeps it"),
    ],
)
def test_a_remedy_works_for_the_one_who_reads_it(reader: Reader, remedy: str) -> None:
    assert part(but(unconfirmed_until=NOW + 30), "configuration", reader).remedy == remedy


def test_an_ordinary_user_is_told_to_use_sudo_also_in_the_headline() -> None:
    verdict = judge(but(as_root=False, units=unit("rsyslog.service", "failed")))
    assert "`sudo systemctl restart rsyslog`" in verdict.headline and "sudo sudo" not in verdict.headline


def test_no_remedy_at_the_console_is_a_command_that_cannot_be_typed_there() -> None:
    for name, facts, *_ in BROKEN:
        for found in judge(facts, Reader.CONSOLE).parts:
            assert "`" not in found.remedy, name


@pytest.mark.parametrize(
    ("skew", "state", "cause"),
    [
        (1260.0, "red", "this clock is 21 min behind Loki's; 7 lines that Loki's clock refuses wait here"),
        (-30.0, "amber", "this clock is 30 s ahead of Loki's"),
        (2.0, "green", ""),
        (None, "green", ""),
    ],
)
def test_a_clock_that_differs_from_lokis_is_said_with_what_waits_for_it(
    skew: float | None, state: str, cause: str
) -> None:
    away = relay(loki={"clock_skew": skew, "held_for_clock": 7 if skew == 1260.0 else 0})
    found = part(but(relay=away, clock=Clock(False)), "time") if skew else part(but(relay=away), "time")
    if state == "green":
        assert found.cause in ("", "the clock is not synchronized: no time server answers")
    else:
        assert (found.state, found.cause) == (state, cause) and "ntp" in found.remedy
        assert "Loki's machine" in part(but(relay=away), "time").remedy, "a synchronized clock is not to blame"


def test_lines_that_bear_the_time_of_receipt_are_a_matter_of_time() -> None:
    problem = {"part": "time", "problem": "900 lines got the time of receipt", "remedy": "compare this clock"}
    facts = but(relay=relay(problems=[problem]))
    assert (part(facts, "time").state, part(facts, "messages").state) == ("amber", "green")


def test_a_sender_that_fell_silent_is_named_with_its_usual_pace() -> None:
    silent = {"sender": "192.0.2.44", "input": "udp", "messages": 8640, "first_seen": NOW - 2 * 86400,
              "last_seen": NOW - 86400}  # fmt: skip
    found = part(but(relay=relay(sources={"count": 3, "silent": [silent]})), "messages")
    assert found.state == "amber" and found.summary.endswith("3 sources, 1 silent")
    assert found.cause == "192.0.2.44 has sent nothing for 24 h (before: a line every 10 s)"


# ---- gathering ----------------------------------------------------------------------------------


@pytest.fixture
def relay_port() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(RELAY).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def machine(root: Path, port: int) -> Layout:
    (root / "etc/appliance").mkdir(parents=True)
    (root / "etc/appliance/relay.yaml").write_text(f"relay:\n  listen:\n    http: 127.0.0.1:{port}\n")
    (root / "var/lib/appliance").mkdir(parents=True)
    return Layout(root)


SHOW = """Id=appliance-relay.service
LoadState=loaded
ActiveState=failed
SubState=failed
Result=oom-kill
NRestarts=3
ActiveEnterTimestampMonotonic=0

Id=rsyslog.service
LoadState=loaded
ActiveState=active
NRestarts=0
ActiveEnterTimestampMonotonic=1000000
"""
ADDRESSES = json.dumps(
    [
        {
            "addr_info": [
                {"family": "inet6", "local": "2001:db8::1"},
                {"family": "inet", "local": "192.0.2.1"},
                {"family": "inet6", "local": "2001:db8::2", "temporary": True},
            ]
        }
    ]
)


def test_facts_are_read_from_the_relay_systemd_and_the_kernel(tmp_path: Path, relay_port: int) -> None:
    runner = Notes(answers={"systemctl show": Answer(0, SHOW), "ip -json": Answer(0, ADDRESSES),
                            "systemctl list-units": Answer(0, "x.service loaded failed failed X\n")})  # fmt: skip
    facts = gather(machine(tmp_path, relay_port), runner)
    assert facts.relay == RELAY
    assert facts.units["appliance-relay.service"].result == "oom-kill"
    assert facts.addresses == ("192.0.2.1", "2001:db8::1")
    assert facts.failed_units == ("x.service",)
    assert facts.configured is True and facts.disks[0].total > 0
    assert facts.clock.not_before > 1.7e9
    assert sum(command[0] == "systemctl" for command in runner.asked) == 2


def test_a_dead_relay_and_a_silent_systemd_are_no_reason_to_fail(tmp_path: Path) -> None:
    facts = gather(machine(tmp_path, 1), Notes(answers={"systemctl": Answer(127), "ip": Answer(1)}))
    assert facts.relay is None and "refused" in facts.relay_error.lower()
    assert judge(facts).state == "red"


def test_something_else_on_the_relays_port_is_said(tmp_path: Path) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.handle_request, daemon=True)
    thread.start()
    facts = gather(machine(tmp_path, server.server_address[1]), Notes())
    server.server_close()
    assert "something else answers" in facts.relay_error


def status(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance.cli.main", "status", "--root", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_the_command_prints_the_verdict_and_its_exit_code(tmp_path: Path, relay_port: int) -> None:
    machine(tmp_path, relay_port)
    done = status(tmp_path)
    assert done.returncode in (0, 1, 2) and "loki" in done.stdout and not done.stderr
    word = ("OK", "WARNING", "CRITICAL")[done.returncode]
    assert done.stdout.splitlines()[1].startswith(f"{word}: ")
    assert status(tmp_path / "nowhere").returncode == 2


def test_json_has_the_promised_names(tmp_path: Path, relay_port: int) -> None:
    machine(tmp_path, relay_port)
    plain = json.loads(status(tmp_path, "--json").stdout)
    assert plain["format"] == 1
    documented = (Path(__file__).parents[2] / "appliance/host/status/status-json.md").read_text()
    for key in plain:
        assert f"`{key}`" in documented, key
    assert set(plain["parts"][0]) == {"name", "state", "summary", "cause", "remedy"}
    assert plain["relay"]["queue"]["entries"] == 0


def test_status_answers_within_half_a_second_of_processor_time(tmp_path: Path, relay_port: int) -> None:
    machine(tmp_path, relay_port)
    status(tmp_path)
    best = 9.0
    for _ in range(3):
        before = os.times()
        status(tmp_path)
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        best = min(best, spent)
    assert best < 0.5


def test_status_imports_nothing_heavy() -> None:
    code = (
        "import sys, appliance.cli.main as m\n"
        "m.main(['status', '--json'])\n"
        "heavy = ('typer', 'pydantic', 'textual', 'cryptography', 'jinja2', 'urllib3', 'yaml', 'asyncio', 'msgspec')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_watching_goes_on_until_it_is_stopped(tmp_path: Path, relay_port: int) -> None:
    machine(tmp_path, relay_port)
    command = [sys.executable, "-m", "appliance.cli.main", "status", "--root", str(tmp_path), "--json", "--watch",
               "--interval", "0.5"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first, second = watching.stdout.readline(), watching.stdout.readline()
        watching.terminate()
    assert json.loads(second)["time"] > json.loads(first)["time"]


def test_watching_into_a_pipe_says_when_each_look_was(tmp_path: Path, relay_port: int) -> None:
    machine(tmp_path, relay_port)
    command = [sys.executable, "-m", "appliance.cli.main", "status", "--root", str(tmp_path), "--watch",
               "--interval", "0.5"]  # fmt: skip
    stamps = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        for line in watching.stdout:
            if line.startswith("--- "):
                stamps.append(datetime.strptime(line.strip(), "--- %Y-%m-%d %H:%M:%S%z ---"))
            if len(stamps) == 2:
                break
        watching.terminate()
    assert abs((stamps[0] - datetime.now(UTC)).total_seconds()) < 60 and stamps[1] >= stamps[0]


# ---- certificates without a library -----------------------------------------------------------------


@pytest.mark.parametrize("days", [1, 398, 3650, 12000])
def test_dates_of_a_certificate_are_read_as_cryptography_reads_them(days: int) -> None:
    from cryptography import x509

    from appliance.host.tls import issue

    now = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    pem = issue.new_authority("x" * 200, now).certificate
    loaded = x509.load_pem_x509_certificate(pem)
    assert dates(pem) == (loaded.not_valid_before_utc, loaded.not_valid_after_utc)


def test_metrics_know_when_the_certificates_in_use_end(tmp_path: Path) -> None:
    from appliance.config.load import parse
    from appliance.host.tls import issue
    from appliance.relay.report.x509_dates import expiries

    file = tmp_path / "server.crt"
    file.write_bytes(issue.new_authority("x", datetime.now(UTC)).certificate)
    tls = f"tls: {{tls: {{cert_file: {file}}}}}, relp_tls: {{tls: {{cert_file: {tmp_path}/none.crt}}}}"
    config = parse(f"loki: {{url: 'http://x/loki/api/v1/push'}}\nlisteners: {{{tls}}}\n").config
    assert expiries(config) == {str(file): pytest.approx(time.time() + 3650 * 86400, abs=60)}


def test_what_is_no_certificate_is_refused_not_misread() -> None:
    from appliance.host.tls import issue

    pem = issue.new_authority("x", datetime.now(UTC)).certificate
    for damaged in (b"", b"hello", pem.replace(b"MII", b"MAA"), pem[:80] + b"\n-----END CERTIFICATE-----\n"):
        with pytest.raises(ValueError, match=r"certificate"):
            dates(damaged)


@pytest.mark.parametrize("counters", [None, {"queue": 0, "stale": True}])
def test_an_rsyslog_that_runs_but_writes_no_counters_is_critical(counters: dict[str, Any] | None) -> None:
    silent = {**RELAY, "rsyslog": counters}

    def running(seconds: float) -> dict[str, Unit]:
        return {**WELL.units, "rsyslog.service": Unit("rsyslog.service", "loaded", "active", since=seconds)}

    verdict = judge(but(relay=silent, units=running(61)))
    assert (verdict.word, verdict.headline.partition(":")[0]) == ("CRITICAL", "rsyslog runs, but writes no counters")
    assert judge(but(relay=silent, units=running(20))).state == "green"
    assert judge(but(units=running(61))).state == "green"


def test_what_rsyslog_could_not_hand_over_is_critical_with_cause_and_remedy() -> None:
    lost = {
        "part": "handover",
        "problem": "rsyslog lost 12 messages: it could not write them to its hand-over files",
        "remedy": "see `journalctl -u rsyslog`",
    }
    waits = {"backlog_bytes": 3 * 2**20, "oldest_age": 300.0, "writers": {}}
    verdict = judge(but(relay=relay(problems=[lost], handover=waits)))
    [part] = [one for one in verdict.parts if one.name == "handover"]
    assert (verdict.word, part.state) == ("CRITICAL", "red")
    assert (part.cause, part.remedy) == (lost["problem"], lost["remedy"])
    assert part.summary == "3.0 MiB wait for the relay, the oldest for 5 min"
    [well] = [one for one in judge(but(relay=relay(handover=waits))).parts if one.name == "handover"]
    assert well.state == "green"
