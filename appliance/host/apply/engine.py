"""Applying a plan: store, switch, restart what changed, check whether it works, or roll back.

What happens to files is `generations.py`, what is restarted `actions.py`, what counts as healthy
`health.py`, what is reported at the end `afterwards.py`; here is the overall order and the rollback.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.config.load import parse
from appliance.config.model import Config
from appliance.config.problems import ConfigError
from appliance.errors import ApplianceError
from appliance.host import tree as trees
from appliance.host.accounts import remove
from appliance.host.addresses import own_addresses
from appliance.host.apply import revert_clock
from appliance.host.apply.actions import Action, actions_for, former_administrator
from appliance.host.apply.afterwards import afterwards
from appliance.host.apply.generations import Generations, Unconfirmed
from appliance.host.apply.health import failure_reason, wait_until_healthy, wanted_units
from appliance.host.apply.lock import apply_lock
from appliance.host.apply.plan import Plan, plan_for
from appliance.host.apply.step import Step, StepState
from appliance.host.host import Host
from appliance.host.layout import CONFIG
from appliance.host.system.ports import uses_own_certificate
from appliance.host.system.render import ADMINISTRATOR
from appliance.host.system.secrets import hand_certificate_to_relay, hand_to_relay, make_secrets_directory
from appliance.host.tree import File, changes

CONFIRM_WITHIN = 60.0
REJECTED = f"{CONFIG}.rejected"


Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Result:
    """How an apply ended.

    `generation` is active now. `confirm_by` (Unix seconds): it reverts then unless it is confirmed.
    """

    ok: bool
    generation: int
    changed: bool = True
    rolled_back: bool = False
    reason: str = ""
    confirm_by: float | None = None


_LONGER_THAN_SYSTEMD = 180.0
"""Seconds for one command: units have their own limits to stop (rsyslog's is 45) and start (90), and end by those."""


class _Failed(Exception):
    """A step after the switch failed; the change is rolled back."""


def apply(
    plan: Plan,
    host: Host,
    progress: Progress = lambda step: None,
    *,
    confirm_within: float | None = None,
    lock_wait: float = 30,
    health: bool = True,
    boundary: Callable[[str], None] = lambda name: None,
) -> Result:
    """Apply a plan. A failure after the switch is rolled back and reported in the result.

    With `confirm_within` (seconds) a plan that may cut the operator off reverts then unless `confirm()`
    was called. Raise ApplianceError when nothing was begun: somebody else is at it, or came first.
    `boundary` is called wherever a crash must be harmless; tests crash there.
    """
    store = Generations(host.layout, boundary=boundary)
    with apply_lock(host.layout, wait=lock_wait), _not_hung_up():
        _recover(store, host)
        waiting = store.unconfirmed()
        if waiting:
            raise ApplianceError(
                "the last change is waiting for confirmation",
                hint="`appliance config confirm` keeps it, `appliance config rollback` rolls it back",
            )
        if store.current() != plan.base:
            raise ApplianceError(
                "the configuration was changed meanwhile", hint="review the difference again, then apply"
            )
        if plan.config:
            _prepare(plan.config, host, progress)
        if not plan.changes:
            return Result(ok=True, generation=plan.base or 0, changed=False)
        with _step("Saving the current state", progress):
            old = store.capture(plan.tree)
            new = store.add(plan.tree, plan.comment)
        pending, began = None, time.time()
        if confirm_within and plan.risky:
            pending = Unconfirmed(old=old, new=new, deadline=time.time() + confirm_within)
            store.set_unconfirmed(pending)
            boundary("unconfirmed written")
            try:
                revert_clock.arm(host, pending, confirm_within)
            except ApplianceError:
                store.set_unconfirmed(None)
                raise
            boundary("clock started")
        try:
            with _step("Switching files", progress):
                store.switch(new)
            for action in plan.actions:
                _run(action, host, progress)
                boundary(f"action {action.name}")
            checked = health and plan.config is not None and host.services and not host.booting
            if plan.config and checked:
                _check_health(plan.config, host, progress, since=began)
        except (_Failed, KeyboardInterrupt, OSError) as error:
            reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
            return _undo(plan, store, host, progress, old, new, pending, reason)
        boundary("healthy")
        if pending is None:
            _retire_administrator(store, host, old, new)
        store.set_outcome(new, "unconfirmed" if pending else "healthy" if checked else "applied")
        store.prune()
        if plan.config and checked:
            for step in afterwards(plan.config, host.layout):
                progress(step)
        return Result(ok=True, generation=new, confirm_by=pending.deadline if pending else None)


def confirm(host: Host) -> int:
    """Keep the change that waits. Return its generation. Raise ApplianceError when none waits."""
    store = Generations(host.layout)
    with apply_lock(host.layout):
        waiting = store.unconfirmed()
        if waiting is None or store.current() != waiting.new:
            raise ApplianceError(
                "nothing is waiting for confirmation",
                hint="it was confirmed before, or has reverted: `appliance config history`",
            )
        store.set_unconfirmed(None)
        store.set_outcome(waiting.new, "healthy" if host.services else "applied")
        revert_clock.disarm(host, waiting)
        _retire_administrator(store, host, waiting.old, waiting.new)
        return waiting.new


def revert_unconfirmed(host: Host, generation: int | None = None, progress: Progress = lambda step: None) -> int | None:
    """Revert the change that waits (only if it is `generation`, when given). Return what is active again."""
    store = Generations(host.layout)
    with apply_lock(host.layout, wait=300), _not_hung_up():
        _recover(store, host)
        waiting = store.unconfirmed()
        if waiting is None or generation not in (None, waiting.new):
            return None
        _go_back(store, host, waiting.old, progress)
        store.set_unconfirmed(None)
        store.set_outcome(waiting.new, "reverted")
        revert_clock.disarm(host, waiting)
        return waiting.old


def recover(host: Host) -> str:
    """Repair what a power cut left, early at boot, without restarting anything. Return what was done, or ''."""
    store = Generations(host.layout)
    with apply_lock(host.layout, wait=10):
        undone = _undo_interrupted(store)
        waiting = store.unconfirmed()
        if waiting is not None:
            if store.current() == waiting.new:
                store.switch(waiting.old)
            store.set_unconfirmed(None)
            store.set_outcome(waiting.new, "reverted")
            return f"generation {waiting.new} had not been confirmed: back to {waiting.old}"
        return "" if undone is None else f"an interrupted apply was undone: generation {undone} is active"


def roll_back_to(number: int, host: Host) -> Plan:
    """Plan to make the files exactly those of generation `number`."""
    store = Generations(host.layout)
    text = store.config_text(number)
    config: Config | None = None
    if text is not None:
        try:
            config = parse(text).config
        except ConfigError:
            config = None  # from another version: its files are put back as they were, without health check
    return plan_for(store.tree(number), host, config=config, warnings=[], comment=f"as generation {number}")


# ---- pieces ---------------------------------------------------------------------------------


def _prepare(config: Config, host: Host, progress: Progress) -> None:
    """Make what the new files refer to: secrets that the relay can read, certificates that exist."""
    make_secrets_directory(host.layout)
    hand_to_relay(config, host.layout)
    if uses_own_certificate(config):
        from appliance.host.tls.own import ensure_own
        from appliance.host.tls.store import TlsStore

        with _step("Preparing certificates", progress):
            ensure_own(TlsStore(host.layout), config, own_addresses(host.runner) if host.services else [])
    hand_certificate_to_relay(config, host.layout)


def _retire_administrator(store: Generations, host: Host, old: int, new: int) -> None:
    """Remove the administrator's former account once a change of name is final."""
    for change in changes(store.tree(old), store.tree(new)):
        if change.path == ADMINISTRATOR and (name := former_administrator(change)):
            remove(host, name)


def _undo_interrupted(store: Generations) -> int | None:
    """Undo a switch that was interrupted, and note that. Return the generation that stands, None without one."""
    marker = store.switching()
    undone = store.recover()
    if marker is not None and undone is not None:
        store.set_outcome(marker.new, "rolled_back", "interrupted")
    return undone


def _recover(store: Generations, host: Host) -> None:
    """Undo what a killed apply left half done, services included."""
    marker = store.switching()
    undone = _undo_interrupted(store)
    waiting = store.unconfirmed()
    if waiting and store.current() != waiting.new:  # killed before its switch, or the switch was just undone
        store.set_unconfirmed(None)
    if marker is not None and undone is not None and not host.booting:
        for action in actions_for(changes(store.tree(marker.new), store.tree(marker.old))):
            _run(action, host, lambda step: None, tolerant=True)


def _undo(
    plan: Plan,
    store: Generations,
    host: Host,
    progress: Progress,
    old: int,
    new: int,
    pending: Unconfirmed | None,
    reason: str,
) -> Result:
    """Roll back from generation `new` to `old`, and keep the text that did not work for another try."""
    text = plan.tree.get(CONFIG)
    if isinstance(text, File):
        trees.put(host.layout.at(REJECTED), text)
    store.recover()
    _go_back(store, host, old, progress)
    store.set_outcome(new, "rolled_back", reason)
    if pending:
        store.set_unconfirmed(None)
        revert_clock.disarm(host, pending)
    return Result(ok=False, generation=old, rolled_back=True, reason=reason)


def _go_back(store: Generations, host: Host, old: int, progress: Progress) -> None:
    current = store.current()
    with _step("Rolling back to the previous configuration", progress):
        backwards = changes(store.tree(current), store.tree(old)) if current is not None else ()
        if current != old:
            store.switch(old)
    for action in actions_for(backwards):
        _run(action, host, progress, tolerant=True)


def _run(action: Action, host: Host, progress: Progress, *, tolerant: bool = False) -> None:
    progress(Step(action.title, StepState.RUNNING))
    began = time.time()
    for command in action.commands:
        answer = host.runner(command, timeout=_LONGER_THAN_SYSTEMD, stdin=action.stdin)
        if answer.ok:
            continue
        if tolerant or action.tolerant:
            progress(Step(action.title, StepState.WARNED, answer.reason))
            return
        reason = failure_reason(command, answer, host.runner, since=began)
        progress(Step(action.title, StepState.FAILED, reason))
        raise _Failed(f"{action.title.lower()}: {reason}")
    progress(Step(action.title, StepState.DONE))


def _check_health(config: Config, host: Host, progress: Progress, *, since: float) -> None:
    title = "Checking health"
    progress(Step(title, StepState.RUNNING))
    wrong = wait_until_healthy(config, host.runner, since=since)
    if wrong:
        progress(Step(title, StepState.FAILED, "; ".join(wrong)))
        raise _Failed("; ".join(wrong))
    progress(Step(title, StepState.DONE, f"{len(wanted_units(config))} services are running and listening"))


@contextmanager
def _step(title: str, progress: Progress) -> Iterator[None]:
    progress(Step(title, StepState.RUNNING))
    try:
        yield
    except OSError as error:
        progress(Step(title, StepState.FAILED, str(error)))
        raise
    progress(Step(title, StepState.DONE))


@contextmanager
def _not_hung_up() -> Iterator[None]:
    """Go on when the terminal goes away: changing the network may cut the very session it comes from."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
