"""Planning a change: everything that can be refused is refused here, and nothing is touched.

A plan holds the whole new state, what differs from the present one, and what will be restarted.
"""

import grp
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass

from appliance.config.dump import dump
from appliance.config.load import parse
from appliance.config.model import Config
from appliance.config.problems import ConfigError, Problem
from appliance.errors import ApplianceError
from appliance.host import tree as trees
from appliance.host.apply import readers
from appliance.host.apply.actions import Action, actions_for, risky_paths
from appliance.host.apply.files import file_problems
from appliance.host.apply.generations import Generations
from appliance.host.apply.meaning import Difference, differences
from appliance.host.host import Host
from appliance.host.layout import CONFIG
from appliance.host.system.render import Secrets, render
from appliance.host.tree import ABSENT, Change, Entry, Tree

GROUP = "appliance"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply would do. `config` is None for the machine before its first configuration."""

    config: Config | None
    tree: dict[str, Entry]
    changes: tuple[Change, ...]
    actions: tuple[Action, ...]
    warnings: tuple[Problem, ...]
    verdicts: tuple[readers.Verdict, ...]
    base: int | None  # generation this was planned against
    comment: str
    previous: Config | None = None  # what the active generation was made from

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Return what changes in meaning, key by key."""
        return differences(self.previous, self.config) if self.config else ()

    @property
    def changes_nothing(self) -> bool:
        """Return whether the machine stays as it is: only comments, order or spelling of the configuration differ."""
        return all(change.path == CONFIG for change in self.changes) and not self.differences

    @property
    def other_files(self) -> tuple[str, ...]:
        """Files that change though no key does: edited by hand, or made by another version."""
        return () if self.differences else tuple(change.path for change in self.changes if change.path != CONFIG)

    @property
    def risky(self) -> tuple[str, ...]:
        """Changed paths that may cut the operator off; empty when there is nothing to fear."""
        return tuple(risky_paths(self.changes))

    @property
    def diff(self) -> str:
        """Return the change for people: appliance.yaml first, then what follows from it."""
        ordered = sorted(self.changes, key=lambda change: (change.path != CONFIG, change.path))
        return "\n".join(trees.diff(change) for change in ordered)

    @property
    def steps(self) -> tuple[str, ...]:
        """Titles of what apply() will do, in order."""
        if not self.changes:
            return ()
        return ("Saving the current state", "Switching files", *(a.title for a in self.actions), "Checking health")


def make_plan(
    source: str | Config, host: Host, *, comment: str = "", rsyslog: Callable[[Config], str] | None = None
) -> Plan:
    """Plan to apply a configuration. Raise ConfigError with every problem, ApplianceError when the program
    that is to read a rendered file refuses it."""
    text = source if isinstance(source, str) else dump(source)
    checked = parse(text)
    config = checked.config
    warnings = checked.warnings
    found = list(file_problems(config, host.layout))
    if any(problem.severity == "error" for problem in found):
        raise ConfigError([*warnings, *found])
    tree = render(config, text, secrets=_secrets(config, host), owner=_owner(), group=_group(), rsyslog=rsyslog)
    return plan_for(tree, host, config=config, warnings=[*warnings, *found], comment=comment)


def plan_for(tree: Tree, host: Host, *, config: Config | None, warnings: list[Problem], comment: str) -> Plan:
    """Plan to make the machine's files those of `tree`."""
    store = Generations(host.layout)
    base = store.current()
    old = {} if base is None else store.tree(base)
    # What we wrote once and no longer want goes.
    whole = {**{path: ABSENT for path in old if path not in tree}, **tree}
    changes = tuple(_changes(old, whole, host))
    verdicts = readers.check_all(whole, host.readers, host.layout, only=[change.path for change in changes])
    refused = [verdict for verdict in verdicts if not verdict.accepted]
    if refused:
        reasons = "\n".join(f"  {v.path}: {v.program} says: {v.reason}" for v in refused)
        raise ApplianceError(
            f"the configuration is valid, but the files generated from it are refused\n{reasons}",
            hint="nothing was changed; this may be a bug of the appliance: please report it with the lines above",
        )
    actions = tuple(actions_for(changes, booting=host.booting)) if changes else ()
    previous = None if base is None else _config_of(store, base)
    return Plan(config, dict(whole), changes, actions, tuple(warnings), tuple(verdicts), base, comment, previous)


def _changes(old: Tree, new: Tree, host: Host) -> list[Change]:
    """Return what differs from the active generation or from the disk: hand-made changes count too."""
    found = []
    for path, entry in sorted(new.items()):
        on_disk = trees.read(host.layout.at(path))
        before = old.get(path, on_disk)
        if entry != on_disk:
            found.append(Change(path, on_disk, entry))
        elif entry != before:  # edited in place, and this is what is to be applied
            found.append(Change(path, before, entry))
    return found


def _config_of(store: Generations, number: int) -> Config | None:
    """Return the configuration of a generation; None without one that this version can read."""
    text = store.config_text(number)
    try:
        return None if text is None else parse(text).config
    except ConfigError:
        return None


def _secrets(config: Config, host: Host) -> Secrets:
    if config.access.password_file is None:
        return Secrets()
    lines = host.layout.at(config.access.password_file).read_text().splitlines()
    return Secrets(password_hash=lines[0].strip() if lines else None)


def _owner() -> str:
    return "root" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _group() -> str:
    """Return the group that may read the configuration, on a fake root whatever group there is."""
    if os.geteuid() != 0:
        return grp.getgrgid(os.getegid()).gr_name
    try:
        return grp.getgrnam(GROUP).gr_name
    except KeyError:
        return "root"
