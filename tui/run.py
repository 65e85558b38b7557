"""Starting the console in a terminal, and setup without one: the same answers, the same way."""

import sys
from pathlib import Path

import yaml

from appliance.config.load import read
from appliance.errors import ApplianceError, UsageError
from appliance.severity import WIDTH
from tui.answers import Answers
from tui.machine import Machine
from tui.state import State

SECRETS = {
    "loki_password": ("loki.basic_auth.password_file", "loki-password"),
    "loki_token": ("loki.bearer_token_file", "loki-token"),
    "administrator_password": ("access.password_file", "administrator"),
}
"""Secrets that an answers file may hold under `secrets`: where they go, and the name of their file."""


def console(machine: Machine, *, wizard: bool = False, state: State | None = None) -> int:
    """Run the interface until it is left."""
    from tui.app import Console

    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise UsageError("this needs a terminal", hint="answers can come from a file: appliance setup --answers FILE")
    # A mouse is of no use on a console, and asking a serial line for one writes garbage on it.
    return Console(machine, wizard=wizard, state=state).run(mouse=False) or 0


def answers_from(path: Path, machine: Machine) -> State:
    """Return a state with the answers of a file: an appliance.yaml, with `secrets` in clear if need be.

    Raise UsageError, ConfigError.
    """
    try:
        tree = yaml.safe_load(read(path))
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise UsageError(
            f"{path} holds no answers", hint="it has the form of appliance.yaml; at least loki.url is required"
        )
    secrets = tree.pop("secrets", None) or {}
    if not isinstance(secrets, dict) or (unknown := [key for key in secrets if key not in SECRETS]):
        named = f" ({unknown[0]})" if isinstance(secrets, dict) else ""
        raise UsageError(f"{path}: unknown secrets{named}", hint=f"there are: {', '.join(SECRETS)}")
    if secrets and path.stat().st_mode & 0o077:
        raise UsageError(f"{path} holds secrets and others may read it", hint=f"chmod 600 {path}")
    state = State(machine, Answers(tree), first=not machine.config_path.exists())
    for key, value in secrets.items():
        where, name = SECRETS[key]
        text = machine.hash_password(str(value)) if key == "administrator_password" else str(value)
        state.answers.put(where, machine.write_secret(name, text))
    return state


def set_up(state: State, *, dry_run: bool) -> int:
    """Apply answers without asking, step by step on standard output. Return the exit code."""
    from appliance.host.apply import Step

    plan = state.make_plan()
    out = sys.stdout
    for problem in plan.warnings:
        out.write(f"{problem}\n")
    if dry_run:
        out.write("\n".join(map(str, plan.differences)) + "\n" if not plan.changes_nothing else "nothing changes\n")
        return 0

    def show(step: Step) -> None:
        if word := step.state.word:
            out.write(f"{word:{WIDTH}}  {step.title}{f': {step.detail}' if step.detail else ''}\n")
            if step.remedy:
                out.write(f"{'':{WIDTH}}  -> {step.remedy}\n")
            out.flush()

    result = state.machine.apply(plan, show)
    if not result.ok:
        raise ApplianceError(
            f"the change failed and was rolled back: {result.reason}", hint="the previous configuration is active"
        )
    if result.confirm_by is not None:
        state.machine.confirm()
    state.forget()
    out.write(f"generation {result.generation} is active\n" if result.changed else "nothing changes\n")
    return 0
