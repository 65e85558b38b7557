"""The apply engine on a fake root, with the real programs as judges of what was rendered."""

import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from appliance.config.problems import ConfigError
from appliance.errors import ApplianceError
from appliance.host import tree as trees
from appliance.host.apply import apply, confirm, host_at, make_plan, recover, revert_unconfirmed, roll_back_to
from appliance.host.apply.generations import Generations, Unconfirmed
from appliance.host.apply.lock import apply_lock
from appliance.host.host import Host
from appliance.host.layout import CONFIG, Layout
from appliance.host.runner import Answer, Notes
from appliance.host.system import render as names

FIRST = "loki: {url: http://loki:3100/loki/api/v1/push}\nlisteners: {udp: {}, tcp: {}}\n"
SECOND = "loki: {url: http://other:3100/loki/api/v1/push}\nlisteners: {tcp: {port: 1514}}\nsystem: {hostname: second}\n"
NETWORK = FIRST + "system: {network: {ipv4: {method: static, address: 192.0.2.9/24, gateway: 192.0.2.1}}}\n"


def rsyslog(config: object) -> str:
    """The smallest sound configuration; what is really rendered for rsyslog has tests of its own."""
    return 'module(load="imudp")\ninput(type="imudp" port="514")\naction(type="omfile" file="/dev/null")\n'


def plan(text: str, host: Host):
    return make_plan(text, host, rsyslog=rsyslog)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    root = tmp_path / "root"
    (root / "etc/chrony").mkdir(parents=True)
    (root / "etc/chrony/chrony.conf").write_text("# as Debian has it\n")
    (root / "etc/hostname").write_text("installed\n")
    return host_at(root)


def snapshot(host: Host) -> dict[str, trees.Entry]:
    """Every file below the root but the store of generations, the lock and directories."""
    root = host.layout.root
    found = {}
    for path in sorted(root.rglob("*")):
        name = "/" + str(path.relative_to(root))
        if (path.is_dir() and not path.is_symlink()) or name.startswith(("/etc/appliance/generations", "/run")):
            continue
        found[name] = trees.read(path)
    return found


def read(host: Host, path: str) -> str:
    return host.layout.at(path).read_text()


def test_a_configuration_becomes_the_machines_files_and_every_reader_accepts_them(host: Host) -> None:
    made = plan(FIRST, host)
    result = apply(made, host)
    assert result.ok and result.changed
    assert read(host, CONFIG) == FIRST
    assert "udp dport 514 accept" in read(host, names.FIREWALL)
    assert read(host, names.HOSTNAME) == "forwarder\n"
    installed = {name for name in ("rsyslogd", "nft", "chronyd", "visudo", "sshd") if shutil.which(name)}
    asked = {verdict.program for verdict in made.verdicts if not verdict.skipped}
    assert asked == installed
    assert "rsyslogd" in asked


def test_what_is_applied_again_changes_nothing(host: Host) -> None:
    apply(plan(FIRST, host), host)
    again = plan(FIRST, host)
    assert again.changes == () and again.diff == "" and again.steps == ()
    assert not apply(again, host).changed


def test_the_image_has_the_keyboard_of_the_defaults_so_that_a_first_apply_does_not_compute_it(host: Host) -> None:
    given = Path(__file__).parents[2] / "image/elements/forwarder/files" / names.KEYBOARD.lstrip("/")
    change = next(change for change in plan(FIRST, host).changes if change.path == names.KEYBOARD)
    assert change.new == trees.File(given.read_bytes())


def test_a_dry_plan_touches_nothing(host: Host) -> None:
    before = snapshot(host)
    made = plan(SECOND, host)
    assert "hostname" in made.diff and "second" in made.diff
    assert snapshot(host) == before
    assert not host.layout.generations.exists()


def test_only_what_changed_is_restarted_and_the_relay_comes_before_rsyslog(host: Host) -> None:
    apply(plan(FIRST, host), host)
    moved = plan(FIRST.replace("loki:3100", "loki:3200"), host)
    assert [action.name for action in moved.actions] == ["relay"]
    named = plan(FIRST + "system: {hostname: other, ntp: {servers: [ntp.example.org]}}\n", host)
    assert [action.name for action in named.actions] == ["hostname", "time", "rsyslog"]
    both = [action.name for action in plan(SECOND, host).actions]
    assert both.index("relay") < both.index("rsyslog") and both.index("firewall") < both.index("rsyslog")


def test_the_relay_reloads_but_restarts_for_other_listeners_or_another_spool(host: Host) -> None:
    apply(plan(FIRST, host), host)

    def command(text: str) -> tuple[str, ...]:
        (action,) = (action for action in plan(FIRST + text, host).actions if action.name == "relay")
        return action.commands[0]

    assert command("labels: {static: {job: other}}\n")[1] == "reload-or-restart"
    assert command("relay: {listen: {push: '0.0.0.0:3500'}, push: {anyone: true}}\n")[1] == "restart"
    assert command("relay: {spool: {path: /var/lib/appliance/other}}\n")[1] == "restart"


@pytest.mark.parametrize(
    ("changed", "reloads"),
    [
        (FIRST.replace("tcp: {}", "tcp: {port: 5514}"), True),
        (FIRST.replace("tcp: {}", "tcp: {max_connections: 7}"), True),
        (FIRST.replace(", tcp: {}", ""), True),
        (FIRST + "relay: {connections: {max_message: 64KiB}}\n", True),
        (FIRST + "relay: {log_level: debug}\n", True),
        (FIRST + "labels: {static: {job: other}}\n", False),
        (FIRST.replace("udp: {}", "udp: {port: 5514}"), False),
    ],
)
def test_the_receiver_is_reloaded_for_what_it_reads_and_never_restarted(
    host: Host, changed: str, reloads: bool
) -> None:
    apply(plan(FIRST, host), host)
    found = [action.commands for action in plan(changed, host).actions if action.name == "receiver"]
    assert found == ([(("systemctl", "reload-or-restart", "appliance-receiver.service"),)] if reloads else [])


def test_all_problems_are_told_at_once_and_nothing_changes(host: Host) -> None:
    before = snapshot(host)
    wrong = (
        "loki: {url: ftp://x, basic_auth: {username: a, password_file: /nowhere}}\n"
        "system: {hostname: -x, network: {ipv4: {method: static, address: 10.0.0.5/24, gateway: 10.0.1.1}}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        plan(wrong, host)
    paths = {problem.path for problem in caught.value.problems}
    assert {"loki.url", "system.hostname", "system.network.ipv4.gateway"} <= paths
    assert snapshot(host) == before


def test_a_missing_secret_is_refused_before_anything_changes(host: Host) -> None:
    with pytest.raises(ConfigError, match=r"loki.bearer_token_file: there is no such file"):
        plan("loki: {url: 'http://x/loki/api/v1/push', bearer_token_file: /etc/token}\n", host)
    assert not host.layout.config.exists()


def test_a_file_that_its_program_refuses_is_told_with_the_programs_words(host: Host) -> None:
    with pytest.raises(ApplianceError, match=r"rsyslog.conf: rsyslogd says: .*nosuchmodule"):
        make_plan(FIRST, host, rsyslog=lambda config: 'module(load="nosuchmodule")\n')
    assert not host.layout.config.exists()


def test_a_failed_restart_puts_the_old_files_back_and_keeps_what_was_tried(tmp_path: Path, host: Host) -> None:
    apply(plan(FIRST, host), host)
    before = snapshot(host)
    runner = Notes(answers={"systemctl restart rsyslog": Answer(1, err="Job for rsyslog.service failed.")})
    failing = Host(host.layout, runner=runner)
    result = apply(plan(SECOND, failing), failing)
    assert not result.ok and result.rolled_back
    assert "rsyslog.service failed" in result.reason
    after = snapshot(host)
    assert after.pop(f"{CONFIG}.rejected") == trees.File(SECOND.encode(), 0o640)
    assert after == before
    # The services that had already been given the new files get the old ones again.
    assert runner.asked.count(("systemctl", "reload-or-restart", "appliance-relay.service")) == 2


def test_a_switch_that_cannot_write_is_undone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(plan(FIRST, host), host)
    before = snapshot(host)
    real = trees.put

    def full_disk(path: Path, entry: trees.Entry) -> None:
        if path.name == "nftables.conf" and b"1514" in getattr(entry, "content", b""):
            raise OSError(28, "No space left on device")
        real(path, entry)

    monkeypatch.setattr(Generations.switch, "__kwdefaults__", {"put": full_disk})
    result = apply(plan(SECOND, host), host)
    assert not result.ok and "No space left" in result.reason
    after = snapshot(host)
    after.pop(f"{CONFIG}.rejected")
    assert after == before


def test_generations_can_be_gone_back_to_the_machine_as_installed_included(host: Host) -> None:
    before = snapshot(host)
    apply(plan(FIRST, host), host)
    first = snapshot(host)
    apply(plan(SECOND, host), host)
    assert apply(roll_back_to(1, host), host).generation == 3
    assert snapshot(host) == first
    apply(roll_back_to(0, host), host)
    assert snapshot(host) == before
    assert Generations(host.layout).numbers() == [0, 1, 2, 3, 4]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_who_looks_at_generations_is_told_to_use_sudo(host: Host) -> None:
    apply(plan(FIRST, host), host)
    os.seteuid(65534)
    try:
        with pytest.raises(ApplianceError, match="only root may read") as caught:
            Generations(host.layout)
    finally:
        os.seteuid(0)
    assert "sudo" in caught.value.hint


def test_a_damaged_generation_is_refused(host: Host) -> None:
    apply(plan(FIRST, host), host)
    apply(plan(SECOND, host), host)
    stored = host.layout.generations / "1/files/etc/nftables.conf"
    stored.write_text("flush ruleset\n")
    with pytest.raises(ApplianceError, match="generation 1 is damaged"):
        roll_back_to(1, host)


def test_a_renamed_administrators_key_does_not_stay_behind(host: Host) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
    apply(plan(f"{FIRST}access: {{ssh: true, administrator: ann, ssh_keys: ['{key}']}}\n", host), host)
    assert host.layout.at("/etc/ssh/authorized_keys.d/ann").exists()
    apply(plan(f"{FIRST}access: {{ssh: true, administrator: bob, ssh_keys: ['{key}']}}\n", host), host)
    assert not host.layout.at("/etc/ssh/authorized_keys.d/ann").exists()
    assert host.layout.at("/etc/ssh/authorized_keys.d/bob").exists()


def test_the_configuration_is_not_for_everybody_and_the_password_for_nobody(host: Host) -> None:
    secret = host.layout.at("/etc/appliance/secrets/hash")
    secret.parent.mkdir(parents=True)
    digest = "$6$salt$" + "x" * 86
    secret.write_text(digest + "\n")
    secret.chmod(0o600)
    made = plan(FIRST + "access: {password_file: /etc/appliance/secrets/hash}\n", host)
    assert digest not in made.diff and digest not in str(made.steps)
    apply(made, host)
    assert stat.S_IMODE(host.layout.config.stat().st_mode) == 0o640
    assert stat.S_IMODE(host.layout.at(names.ADMINISTRATOR).stat().st_mode) == 0o600
    assert stat.S_IMODE(host.layout.generations.stat().st_mode) == 0o700
    assert isinstance(host.runner, Notes)
    assert all(digest not in word for command in host.runner.asked for word in command)


def test_a_second_apply_waits_for_the_first_or_refuses_naming_it(host: Host) -> None:
    made = plan(FIRST, host)
    with apply_lock(host.layout):
        with pytest.raises(ApplianceError, match=rf"process {os.getpid()}"):
            apply(made, host, lock_wait=0.2)
    holding = threading.Event()

    def hold() -> None:
        with apply_lock(host.layout):
            holding.set()
            threading.Event().wait(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(5)
    assert apply(made, host, lock_wait=10).ok
    thread.join()


def test_a_plan_made_before_somebody_elses_change_is_refused(host: Host) -> None:
    mine = plan(SECOND, host)
    apply(plan(FIRST, host), host)
    with pytest.raises(ApplianceError, match="the configuration was changed meanwhile"):
        apply(mine, host)
    assert read(host, CONFIG) == FIRST


def test_a_change_of_network_that_nobody_confirms_is_taken_back_without_its_shell(host: Host) -> None:
    apply(plan(FIRST, host), host)
    before = snapshot(host)
    made = plan(NETWORK, host)
    assert made.risky == (names.NETWORK,)
    result = apply(made, host, confirm_within=0.5)
    assert result.confirm_by is not None and "192.0.2.9" in read(host, names.NETWORK)
    # The clock is another process; nothing here does anything.
    for _ in range(200):
        if Generations(host.layout).unconfirmed() is None:
            break
        threading.Event().wait(0.1)
    assert snapshot(host) == before


def test_an_apply_killed_before_its_switch_does_not_wait_to_be_confirmed(host: Host) -> None:
    apply(plan(FIRST, host), host)
    store = Generations(host.layout)
    store.set_unconfirmed(Unconfirmed(old=1, new=2, deadline=0))
    with pytest.raises(ApplianceError, match="nothing is waiting"):
        confirm(host)
    assert apply(plan(SECOND, host), host).ok


def test_a_confirmed_change_stays(host: Host) -> None:
    apply(plan(FIRST, host), host)
    result = apply(plan(NETWORK, host), host, confirm_within=60)
    with pytest.raises(ApplianceError, match="waiting for confirmation"):
        apply(plan(SECOND, host), host)
    assert confirm(host) == result.generation
    assert revert_unconfirmed(host, result.generation) is None
    assert "192.0.2.9" in read(host, names.NETWORK)


def test_a_change_that_cannot_cut_anyone_off_needs_no_confirmation(host: Host) -> None:
    apply(plan(FIRST, host), host)
    assert apply(plan(FIRST.replace("loki:3100", "loki:1"), host), host, confirm_within=60).confirm_by is None


def test_after_a_power_cut_an_unconfirmed_change_is_gone(host: Host) -> None:
    apply(plan(FIRST, host), host)
    before = snapshot(host)
    apply(plan(NETWORK, host), host, confirm_within=600)
    assert "not been confirmed" in recover(host)
    assert snapshot(host) == before
    assert recover(host) == ""


def test_a_failing_health_check_names_what_is_ill(tmp_path: Path) -> None:
    from appliance.config.load import parse
    from appliance.host.apply.health import wait_until_healthy

    clock = iter(range(100))
    shown = "Id=rsyslog.service\nLoadState=loaded\nActiveState=failed\nResult=exit-code\n"
    runner = Notes(answers={"systemctl show": Answer(0, shown), "journalctl": Answer(0, "cannot bind port 514\n")})
    wrong = wait_until_healthy(
        parse(FIRST).config, runner, within=3, sleep=lambda seconds: None, now=lambda: float(next(clock))
    )
    assert any("rsyslog.service is failed: cannot bind port 514" in line for line in wrong)


def test_a_port_that_nobody_listens_to_is_told_in_the_words_of_the_program_that_should(tmp_path: Path) -> None:
    from appliance.config.load import parse
    from appliance.host.apply.health import wait_until_healthy, wanted_units

    config = parse(FIRST.replace("tcp: {}", "tcp: {port: 1}").replace("udp: {}, ", "")).config
    shown = "\n\n".join(f"Id={unit}\nLoadState=loaded\nActiveState=active" for unit in wanted_units(config))
    runner = Notes(answers={
        "systemctl show": Answer(0, shown),
        "journalctl -u appliance-receiver.service": Answer(0, "cannot listen on port 1: Permission denied\n"),
    })  # fmt: skip
    clock = iter(range(100))
    (wrong,) = wait_until_healthy(
        config, runner, within=3, sleep=lambda seconds: None, now=lambda: float(next(clock)), since=0
    )
    assert wrong == "listeners.tcp: nothing listens on tcp port 1: cannot listen on port 1: Permission denied"


def test_a_unit_that_does_not_start_is_told_in_its_own_words_not_systemctls(host: Host) -> None:
    apply(plan(FIRST, host), host)
    said = "imtcp: bind 514: Address already in use\nno listeners started\n"
    runner = Notes(answers={
        "systemctl restart rsyslog": Answer(1, err="Job for rsyslog.service failed.\nSee systemctl status rsyslog."),
        "journalctl -u rsyslog.service": Answer(0, said),
    })  # fmt: skip
    failing = Host(host.layout, runner=runner)
    result = apply(plan(SECOND, failing), failing)
    assert result.rolled_back
    assert result.reason == ("restarting rsyslog: imtcp: bind 514: Address already in use; no listeners started")
    (asked,) = (command for command in runner.asked if command[0] == "journalctl")
    assert "--since" in asked, "only what it said since the change"
    outcome = Generations(host.layout).outcome(2)
    assert outcome is not None and (outcome.state, outcome.reason) == ("rolled_back", result.reason)


def test_edited_in_place_the_file_is_put_in_force(host: Host) -> None:
    apply(plan(FIRST, host), host)
    host.layout.config.write_text(SECOND)
    made = plan(read(host, CONFIG), host)
    assert CONFIG in {change.path for change in made.changes}
    apply(made, host)
    assert read(host, names.HOSTNAME) == "second\n"
    assert Generations(host.layout).config_text(2) == SECOND


def test_services_pass_through_new_directories_whatever_the_umask(host: Host) -> None:
    before = os.umask(0o077)
    try:
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
        text = f"{FIRST.replace('udp: {}', 'tls: {}')}access: {{ssh: true, ssh_keys: ['{key}']}}\n"
        apply(plan(text, host), host)
    finally:
        os.umask(before)
    for path in ("/etc/ssh/authorized_keys.d", "/etc/appliance/tls", "/etc/appliance/tls/pairs/1"):
        assert stat.S_IMODE(host.layout.at(path).stat().st_mode) == 0o755, path
    assert stat.S_IMODE(host.layout.at("/etc/appliance/tls/server.key").stat().st_mode) == 0o600


def test_the_layout_never_leaves_its_root(tmp_path: Path) -> None:
    assert Layout(tmp_path).at("/etc/hostname") == tmp_path / "etc/hostname"
