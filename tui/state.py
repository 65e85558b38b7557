"""What the console knows apart from its screens: the machine, the answers, and which page comes when."""

from collections import deque
from dataclasses import dataclass, field

from appliance.config.problems import ConfigError, Problem
from appliance.errors import ApplianceError
from appliance.host.apply import Plan, Result
from appliance.host.apply.files import file_problems
from tui.answers import Answers, save, saved
from tui.machine import Machine


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the traffic: lines per second in and out, and bytes in the spool. `when` in Unix seconds."""

    when: float
    came: float
    left: float
    spool: float


@dataclass
class State:
    """`first` is true for the first setup, which is kept over a restart; false when settings are changed."""

    machine: Machine
    answers: Answers = field(default_factory=Answers)
    first: bool = True
    resumed: bool = False
    plan: Plan | None = None
    result: Result | None = None
    secrets: dict[str, str] = field(default_factory=dict)  # typed, not yet in a file of their own
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=150))

    def begin(self) -> None:
        """Resume an interrupted setup, or begin with the active configuration."""
        self.plan, self.result = None, None
        self.secrets.clear()
        self.first = not self.machine.config_path.exists()
        if not self.first:
            self.answers = Answers.of_text(self.machine.config_path.read_text(), str(self.machine.config_path))
        elif kept := saved(self.machine.draft_path):
            self.answers, self.resumed = kept, True

    def keep(self, page: str) -> None:
        """Remember the answers and where we are. Raise ApplianceError when they cannot be written."""
        self.answers.page = page
        if self.first:
            save(self.answers, self.machine.draft_path)

    def forget(self) -> None:
        """The answers are applied: the draft has served."""
        self.machine.draft_path.unlink(missing_ok=True)

    def problems(self) -> list[Problem]:
        """Return all errors and warnings about the answers, and about the files that they name."""
        found, config = self.answers.judge()
        if config is not None:
            found += file_problems(config, self.machine.host.layout)
        return found

    def make_plan(self) -> Plan:
        """Plan to apply the answers. Raise ApplianceError with every problem."""
        problems = [problem for problem in self.answers.problems() if problem.severity == "error"]
        if problems:
            raise ConfigError(problems, source="the answers")
        self.plan = self.machine.plan(self.answers.text())
        return self.plan


def problem_lines(error: ApplianceError) -> list[str]:
    """Return an error as lines for people, one for each problem, its remedy below it."""
    if isinstance(error, ConfigError):
        return [line for problem in error.problems for line in str(problem).splitlines()]
    return [*error.message.splitlines(), *([f"-> {error.hint}"] if error.hint else [])]
