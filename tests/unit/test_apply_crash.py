"""Killed at every step, an apply leaves the old or the new state, never half of each."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.host import tree as trees
from appliance.host.apply import Plan, apply, host_at, make_plan, recover, revert_clock
from appliance.host.apply.generations import Generations
from appliance.host.host import Host

OLD = "loki: {url: http://loki:3100/loki/api/v1/push}\nlisteners: {udp: {}}\n"
NEW = (
    "loki: {url: http://other:3100/loki/api/v1/push}\nlisteners: {tcp: {}}\n"
    "system: {hostname: new, timezone: Europe/Paris, proxy: 'http://p:1', network: {vlan: 7}}\naccess: {ssh: true}\n"
)


def snapshot(host: Host) -> dict[str, trees.Entry]:
    found = {}
    for path in sorted(host.layout.root.rglob("*")):
        name = "/" + str(path.relative_to(host.layout.root))
        if (path.is_dir() and not path.is_symlink()) or name.startswith(("/etc/appliance/generations", "/run")):
            continue
        found[name] = trees.read(path)
    return found


TEXT = 'action(type="omfile" file="/dev/null")\n'


def quick(root: Path) -> Host:
    """A machine whose files nobody judges: judging takes long, and has its own tests."""
    host = host_at(root)
    return Host(host.layout, runner=host.runner, readers=host.runner)


@pytest.fixture
def plans(tmp_path: Path) -> Callable[[str], tuple[Host, Plan]]:
    """Return a copy of a machine in the old state, and the plan to the new one."""
    model = quick(tmp_path / "model")
    apply(make_plan(OLD, model, rsyslog=lambda config: TEXT), model)
    plan = make_plan(NEW, model, rsyslog=lambda config: TEXT + "# new\n")

    def copy(name: str) -> tuple[Host, Plan]:
        shutil.copytree(model.layout.root, tmp_path / name, symlinks=True)
        return quick(tmp_path / name), plan

    return copy


@contextmanager
def killed_at(number: int) -> Iterator[Callable[[str], None]]:
    """Give a boundary function that kills this process when it is reached for the `number`-th time.

    Each sync of the disk is a boundary too: what is not synced a power cut may take.
    """
    left = number

    def boundary(name: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def fsync(descriptor: int) -> None:
        boundary("sync")

    os.fsync = fsync
    yield boundary  # in a child, which ends with it


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that it wrote: the syncs themselves are not what is tried here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def run_killed(number: int, work: Callable[[Callable[[str], None]], object]) -> bool:
    """Do the work in a child that dies at a boundary; tell whether it came to its end instead."""
    child = os.fork()
    if child == 0:
        try:
            with killed_at(number) as boundary:
                work(boundary)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def every_crash(work: Callable[[int], bool], least: int) -> None:
    number = 0
    while not work(number):
        number += 1
    assert number >= least, "the crash points were not reached"


def test_killed_anywhere_an_apply_leaves_the_old_or_the_new_state(
    plans: Callable[[str], tuple[Host, Plan]],
) -> None:
    host, plan = plans("reference")
    old = snapshot(host)
    apply(plan, host)
    new = snapshot(host)
    assert old != new
    outcomes = set()

    def crash(number: int) -> bool:
        host, plan = plans(f"crash{number}")
        ended = run_killed(number, lambda boundary: apply(plan, host, boundary=boundary))
        recover(host)
        now = snapshot(host)
        assert now in (old, new), f"half a state after boundary {number}"
        current = Generations(host.layout).current()
        assert current == (1 if now == old else 2)
        outcomes.add(current)
        if number % 10 == 0:  # the machine can go on from there
            again = make_plan(NEW, host, rsyslog=lambda config: TEXT + "# new\n")
            assert apply(again, host).ok
            assert snapshot(host) == new
        return ended

    every_crash(crash, least=50)
    assert outcomes == {1, 2}


def test_killed_anywhere_an_unconfirmed_change_is_gone_after_the_next_boot(
    plans: Callable[[str], tuple[Host, Plan]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revert_clock, "arm", lambda *arguments: None)  # the clock does not survive a power cut
    host, plan = plans("reference")
    old = snapshot(host)

    def crash(number: int) -> bool:
        host, plan = plans(f"crash{number}")
        ended = run_killed(number * 2, lambda boundary: apply(plan, host, boundary=boundary, confirm_within=600))
        recover(host)
        assert snapshot(host) == old
        assert Generations(host.layout).unconfirmed() is None
        return ended

    every_crash(crash, least=20)


def test_recovery_itself_may_be_killed(plans: Callable[[str], tuple[Host, Plan]]) -> None:
    host, plan = plans("reference")
    old = snapshot(host)

    def crash(number: int) -> bool:
        host, plan = plans(f"crash{number}")
        half = 20  # in the middle of the switch
        store = Generations(host.layout)
        store.capture(plan.tree)
        new = store.add(plan.tree, "new")
        assert not run_killed(half, lambda boundary: Generations(host.layout, boundary=boundary).switch(new))
        assert snapshot(host) != old
        ended = run_killed(number, lambda boundary: recover(host))
        recover(host)
        assert snapshot(host) == old
        return ended

    every_crash(crash, least=10)


def test_a_crash_of_the_very_first_apply_leaves_the_machine_as_installed(tmp_path: Path) -> None:
    def machine(name: str) -> tuple[Host, Plan]:
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc/hostname").write_text("installed\n")
        host = quick(tmp_path / name)
        return host, make_plan(NEW, host, rsyslog=lambda config: TEXT)

    host, plan = machine("reference")
    old = snapshot(host)
    apply(plan, host)
    new = snapshot(host)

    def crash(number: int) -> bool:
        host, plan = machine(f"crash{number}")
        ended = run_killed(number * 2, lambda boundary: apply(plan, host, boundary=boundary))
        recover(host)
        assert snapshot(host) in (old, new)
        return ended

    every_crash(crash, least=15)
