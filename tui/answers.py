"""The answers given so far: a tree shaped as `appliance.yaml`, kept as typed, checked as a file is.

Problems of an answer are what `appliance.config.load.parse` reports; there is no second
opinion here. Secrets are not in the tree but only the names of the files that hold them.
"""

import copy
import os
from pathlib import Path
from typing import Any

import yaml

from appliance.config.dump import to_plain
from appliance.config.load import Checked, parse
from appliance.config.model import Config
from appliance.config.problems import ConfigError, Problem
from appliance.errors import ApplianceError

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
FRESH: dict[str, Any] = {"loki": {"url": ""}, "listeners": {"udp": {}, "tcp": {}}}
URL_HINT = "such as https://loki.example.org:3100/loki/api/v1/push"
_ANYWHERE = "http://localhost/loki/api/v1/push"


class Answers:
    """A tree of answers by dotted path. `tls_file` and `tls_password` are not part of a configuration."""

    def __init__(self, tree: dict[str, Any] | None = None, *, page: str = "") -> None:
        self.tree: dict[str, Any] = copy.deepcopy(FRESH if tree is None else tree)
        self.page = page
        self.tree.setdefault("loki", {}).setdefault("url", "")

    @classmethod
    def of_text(cls, text: str, source: str) -> "Answers":
        """Answers of a whole configuration. Raise ConfigError when it is refused."""
        return cls(to_plain(parse(text, source=source).config))

    def get(self, path: str) -> Any:
        """Return an answer, None when there is none."""
        node: Any = self.tree
        for key in path.split("."):
            if not isinstance(node, dict) or key not in node:
                return None
            node = node[key]
        return node

    def put(self, path: str, value: Any) -> None:
        """Keep an answer; None takes it back, and sections that have become empty by it."""
        *parents, last = path.split(".")
        if value is None:
            self._remove(self.tree, path.split("."))
            return
        node = self.tree
        for key in parents:
            if not isinstance(node.get(key), dict):
                node[key] = {}
            node = node[key]
        node[last] = value

    def _remove(self, node: dict[str, Any], keys: list[str]) -> None:
        if len(keys) == 1:
            node.pop(keys[0], None)
        elif isinstance(node.get(keys[0]), dict):
            self._remove(node[keys[0]], keys[1:])
            # A listener is on by being there, even when nothing about it is said.
            if not node[keys[0]] and keys[0] not in ("udp", "tcp", "tls", "relp", "relp_tls", "loki"):
                del node[keys[0]]

    def text(self) -> str:
        """Return what goes into `appliance.yaml`."""
        return yaml.dump(self.tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)

    def check(self) -> Checked:
        """Return the configuration and its doubts. Raise ConfigError with every problem."""
        return parse(self.text(), source="the answers")

    def judge(self) -> tuple[list[Problem], Config | None]:
        """Return all errors and warnings, errors first, and a configuration to try things with.

        The latter is as if Loki's URL were known; None while other answers are refused.
        """
        config: Config | None = None
        try:
            config, found = self.check()
        except ConfigError as error:
            found = list(error.problems)
            if all(one.path in ("loki", "loki.url") for one in found if one.severity == "error"):
                config = self._with_url(_ANYWHERE)
        # That nothing listens is said where it can be changed, on the page of the listeners.
        kept = [_worded(problem) for problem in found if problem.path != "listeners"]
        return sorted(kept, key=lambda problem: problem.severity != "error"), config

    def problems(self) -> list[Problem]:
        return self.judge()[0]

    def draft(self) -> Config | None:
        """Return a configuration to try things with, as judge() does."""
        return self.judge()[1]

    def _with_url(self, url: str) -> Config | None:
        trial = Answers(self.tree)
        trial.put("loki.url", url)
        try:
            return trial.check().config
        except ConfigError:
            return None


def _worded(problem: Problem) -> Problem:
    if problem.path in ("loki", "loki.url") and not problem.value:
        return Problem("loki.url", "Loki's address is missing", URL_HINT)
    return problem


# ---- between two boots ----------------------------------------------------------------------


def save(answers: Answers, path: Path) -> None:
    """Keep the answers so that setup resumes after a restart; mode 0600, whole or not at all."""
    text = yaml.safe_dump({"page": answers.page, "answers": answers.tree}, sort_keys=False, allow_unicode=True)
    staging = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except OSError as error:
        raise ApplianceError(f"the answers cannot be saved: {error.strerror}", hint="run as root") from None


def saved(path: Path) -> Answers | None:
    """Return the answers of a setup that was not finished, None when there are none that can be read."""
    try:
        kept = yaml.safe_load(path.read_text())
        if isinstance(kept["answers"], dict):
            return Answers(kept["answers"], page=str(kept["page"]))
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        pass
    return None
