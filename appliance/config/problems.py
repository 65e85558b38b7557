"""Problems of a configuration: a problem as a value, and the error that carries all of them.

Responsible for how a problem reads; finding problems is `decode.py` and the `check*.py` modules.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from appliance.errors import ApplianceError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (`error`) or doubtful (`warning`) in a configuration.

    `path` is dotted as in the file (`relay.listen.relp`, `labels.relabel_configs[2].regex`), empty for
    the file itself; `message` is one sentence without a trailing period; `value` is what was written,
    shortened, and never a secret; `line` counts from 1, 0 when unknown.
    """

    path: str
    message: str
    hint: str = ""
    value: str | None = None
    line: int = 0
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        if self.severity == "warning":
            text = f"warning: {text}"
        if self.value is not None:
            text += f" (is: {self.value})"
        if self.line:
            text += f" [line {self.line}]"
        return f"{text}\n    {self.hint}" if self.hint else text


class ConfigError(ApplianceError):
    """A configuration that is refused, with every problem it has."""

    def __init__(self, problems: Iterable[Problem], *, source: str = "the configuration") -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        self.source = source
        count = sum(problem.severity == "error" for problem in self.problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(
            f"{source} has {count} {'problem' if count == 1 else 'problems'}\n{lines}",
            hint="nothing was changed; fix the file and try again",
        )


def shown(value: object, limit: int = 60) -> str:
    """Return a value as it is shown in a problem: on one line, shortened, without control characters."""
    text = value if isinstance(value, str) else str(value)
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
