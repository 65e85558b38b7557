"""A question of a form: its label, what is filled in, and below it why the answer is refused."""

from collections.abc import Callable
from typing import Any, Literal

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from appliance.config.problems import Problem
from tui.answers import Answers
from tui.widgets.entry import Choice, Entry, Tick


class Item(Vertical):
    """`path` is the answer's place in the configuration; `when` says whether it is asked at all."""

    class Answered(Message):
        def __init__(self, item: "Item", value: Any) -> None:
            super().__init__()
            self.item, self.value = item, value

    def __init__(
        self,
        path: str,
        label: str,
        *,
        hint: str = "",
        when: Callable[[Answers], bool] | None = None,
        id: str | None = None,
        gap: bool = False,
    ) -> None:
        super().__init__(id=id, classes="-gap" if gap else "")
        self.path, self.label, self.hint = path, label, hint
        self.when = when
        self.touched = False
        self.shown: Problem | None = None

    def entry(self) -> Widget:
        """Return what is filled in."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        with Horizontal(classes="row"):
            yield Static(self.label, classes="label", markup=False)
            yield self.entry()
        yield Static("", classes="note", markup=False)

    def concerns(self, problem: Problem) -> bool:
        """Return whether the problem is about this answer."""
        return bool(self.path) and (
            problem.path == self.path or problem.path.startswith((self.path + "[", self.path + "."))
        )

    def show(self, problem: Problem | None) -> None:
        """Show why the answer is refused or doubtful and how to fix it, or nothing."""
        if problem == self.shown:
            return
        self.shown = problem
        note = self.query_one(".note", Static)
        self.set_class(problem is not None, "-noted")
        if problem is None:
            return
        note.set_class(problem.severity == "error", "-error")
        note.set_class(problem.severity != "error", "-doubt")
        message = f"{problem.message}: {problem.hint}" if problem.hint else problem.message
        note.update(message[:1].upper() + message[1:].replace("…", "..."))

    @on(Input.Changed)
    @on(Choice.Chosen)
    def _answered(self, event: Input.Changed | Choice.Chosen) -> None:
        event.stop()
        self.touched = True
        self.post_message(self.Answered(self, self.read(event.value)))

    def read(self, value: str) -> Any:
        """Return the answer that was typed as the configuration has it; None for none."""
        return value.strip() or None


class TextItem(Item):
    """An answer of one line; `many` answers are separated by commas or blanks. `room` is how wide its field is."""

    def __init__(
        self, path: str, label: str, value: Any, *, secret: bool = False, many: bool = False, placeholder: str = "",
        hint: str = "", when: Callable[[Answers], bool] | None = None, id: str | None = None, gap: bool = False,
        room: Literal["number", "name", "line"] = "line",
    ) -> None:  # fmt: skip
        super().__init__(path, label, hint=hint, when=when, id=id, gap=gap)
        self.add_class(f"-{room}")
        self.secret, self.many, self.placeholder = secret, many, placeholder
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        self.initial = "" if shown is None else str(shown)

    def entry(self) -> Widget:
        return Entry(self.initial, placeholder=self.placeholder, secret=self.secret)

    @property
    def value(self) -> str:
        return self.query_one(Entry).value

    def fill(self, value: str) -> None:
        """Put a value into the field without telling anybody."""
        with self.prevent(Input.Changed):
            self.query_one(Entry).value = value

    def read(self, value: str) -> Any:
        if self.secret:
            return value or None
        if self.many:
            return value.replace(",", " ").split() or None
        return value.strip() or None


class ChoiceItem(Item):
    def __init__(
        self, path: str, label: str, options: list[tuple[str, str]], value: Any, *,
        hint: str = "", when: Callable[[Answers], bool] | None = None, id: str | None = None, gap: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(path, label, hint=hint, when=when, id=id, gap=gap)
        self.options, self.initial = options, str(value)

    def entry(self) -> Widget:
        return Choice(self.options, self.initial)

    @property
    def value(self) -> str:
        return self.query_one(Choice).value

    def choose(self, value: str) -> None:
        """Choose without telling anybody."""
        choice = self.query_one(Choice)
        choice.value = value
        choice.refresh()


class TickItem(Item):
    """On or off; what that means in the configuration is the page's matter."""

    def __init__(
        self, path: str, label: str, words: str, on: bool, *,
        hint: str = "", when: Callable[[Answers], bool] | None = None, id: str | None = None, gap: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(path, label, hint=hint or "Space switches it on and off", when=when, id=id, gap=gap)
        self.words, self.initial = words, on

    def entry(self) -> Widget:
        return Tick(self.words, self.initial)

    def concerns(self, problem: Problem) -> bool:
        return problem.path == self.path

    @property
    def value(self) -> bool:
        return self.query_one(Tick).value == "on"

    def read(self, value: str) -> Any:
        return value == "on"


class SecretItem(TextItem):
    """A secret: never shown, and not in the answers, only the file that it is `kept` in."""

    def __init__(
        self, path: str, label: str, *, kept: bool, hint: str = "",
        when: Callable[[Answers], bool] | None = None, id: str | None = None, gap: bool = False,
    ) -> None:  # fmt: skip
        placeholder = "(kept; type to change it)" if kept else ""
        super().__init__(
            path, label, "", secret=True, placeholder=placeholder, when=when, id=id, gap=gap, room="name",
            hint=hint or "is not shown; kept in a file that only root and the relay can read",
        )  # fmt: skip

    def concerns(self, problem: Problem) -> bool:
        """Return whether something was typed: it will be kept, so it is not missing."""
        return problem.path == f"typed {self.path}" or (not self.value and super().concerns(problem))

    def keep(self) -> None:
        """What was typed is in a file now."""
        self.fill("")
        self.query_one(Entry).placeholder = "(kept; type to change it)"
