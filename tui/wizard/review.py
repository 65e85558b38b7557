"""A last review before applying: errors, warnings, and what will change."""

from collections.abc import Iterable
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from appliance.errors import ApplianceError
from appliance.host.apply import Plan
from tui.state import problem_lines
from tui.widgets.bars import Body
from tui.wizard.page import Page

_STYLES = {"+": "ansi_bright_green", "-": "ansi_bright_red", "~": "ansi_bright_yellow", "@": "ansi_cyan"}


def coloured(diff: str) -> Content:
    """Return a unified diff with additions green and removals red."""
    lines = []
    for line in diff.splitlines():
        style = "ansi_bright_white bold" if line.startswith(("+++", "---")) else _STYLES.get(line[:1], "")
        lines.append(Content.styled(line, style) if style else Content(line))
    return Content("\n").join(lines)


class Review(Page):
    NAME: ClassVar[str] = "review"
    ANSWERS: ClassVar[bool] = False
    TITLE: ClassVar[str] = "Review"
    INTRO: ClassVar[str] = "What will change. Nothing has been changed yet. PgUp and PgDn move."
    NEXT: ClassVar[str] = "Apply"
    HELP: ClassVar[str] = """
First warnings, then every setting that changes: + is new, - is gone, ~ has
another value. Then what will be done, step by step. F shows the generated files.

Each program that will read a file has checked it already: rsyslog, the firewall,
the time service. Apply switches all files at once, restarts what must be restarted,
and checks that everything works; if not, it is rolled back.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown,right_square_bracket", "page(1)", show=False),
        Binding("pageup,left_square_bracket", "page(-1)", show=False),
        Binding("f", "files", show=False),
    ]
    MORE_KEYS: ClassVar[list[tuple[str, str]]] = [("F", "files")]

    def questions(self) -> Iterable[Widget]:
        yield Static("Checking everything ...", id="plan", classes="text", markup=False)

    def on_mount(self) -> None:
        self.files = False
        self.state.plan = None
        self._make_plan()

    def action_page(self, by: int) -> None:
        body = self.query_one(Body)
        body.scroll_relative(y=by * max(1, body.size.height - 1), animate=False)

    def action_files(self) -> None:
        """Show the generated files that change, or the settings again."""
        if self.state.plan is not None and not self.state.plan.changes_nothing:
            self.files = not self.files
            self.query_one("#plan", Static).update(_shown(self.state.plan, files=self.files))

    @work(thread=True, exclusive=True, group="plan")
    def _make_plan(self) -> None:
        try:
            plan = self.state.make_plan()
            text = _shown(plan)
        except ApplianceError as error:
            lines = problem_lines(error)
            text = Content.assemble(
                ("This cannot be applied yet:\n\n", "ansi_bright_red"), "\n".join(lines),
                "\n\nGo back to the page that asks for it: Esc.",
            )  # fmt: skip
        self.app.call_from_thread(self._planned, text)

    def _planned(self, text: Content) -> None:
        if self.is_running:
            self.query_one("#plan", Static).update(text)

    def leave(self) -> None:
        if self.state.plan is None:
            raise ApplianceError("Nothing can be applied yet", hint="see above")


def _shown(plan: Plan, *, files: bool = False) -> Content:
    if plan.changes_nothing:
        return Content("Nothing changes: the machine already has these settings.")
    parts: list[Content] = []
    for problem in plan.warnings:
        hint = f": {problem.hint}" if problem.hint else ""
        parts.append(Content.styled(f"WARNING  {problem.path}: {problem.message}{hint}", "ansi_bright_yellow"))
    if plan.risky:
        parts.append(
            Content.styled("This changes the network or access settings of the machine.", "ansi_bright_yellow")
        )
    parts += [Content.styled(str(one), _STYLES[str(one)[0]]) for one in plan.differences]
    if plan.other_files:
        parts.append(Content("Files that are not as this version generates them: " + ", ".join(plan.other_files)))
    parts += [Content(""), Content("Steps  " + ", ".join(plan.steps))]
    if files:
        parts += [Content(""), coloured(plan.diff)]
    return Content("\n").join(parts)
