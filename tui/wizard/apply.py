"""Applies the settings, showing each step; a change that cuts the machine off is reverted."""

from collections.abc import Iterable
from typing import ClassVar

from textual import work
from textual.widget import Widget

from appliance.errors import ApplianceError
from appliance.host.apply import Result, Step, StepState
from tui.widgets.dialog import Dialog
from tui.widgets.entry import PushButton
from tui.widgets.findings import FindingList, Line
from tui.wizard.page import Page

_MARKS = {StepState.RUNNING: "busy", StepState.DONE: "ok", StepState.WARNED: "doubt", StepState.FAILED: "bad"}


class KeepIt(Dialog):
    """Asks whether a change of the network is to stay; no answer in time means no."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "Keep this?", "", yes="Keep", no="Revert", prefer_yes=True,
        )  # fmt: skip
        self.left = round(seconds)

    def on_mount(self) -> None:
        self._tick()
        self.set_interval(1, self._tick)

    def _tick(self) -> None:
        from textual.widgets import Static

        self.query_one("#text", Static).update(
            "The network or access settings of this machine have changed.\n"
            f"They revert in {self.left} s unless you keep them."
        )
        self.left -= 1
        if self.left < -1:
            self.dismiss(False)


class ApplyPage(Page):
    NAME: ClassVar[str] = "apply"
    ANSWERS: ClassVar[bool] = False
    TITLE: ClassVar[str] = "Apply"
    INTRO: ClassVar[str] = "The settings are applied. If something does not work, they are rolled back."
    HELP: ClassVar[str] = """
Just wait. If the power fails now, the machine starts with the old settings or the
new ones, never with half of them.
"""

    def __init__(self) -> None:
        super().__init__()
        self.done = False

    def questions(self) -> Iterable[Widget]:
        return ()

    def on_mount(self) -> None:
        self._apply()

    @work(thread=True, exclusive=True, group="apply")
    def _apply(self) -> None:
        call = self.app.call_from_thread
        assert self.state.plan is not None
        try:
            result = self.state.machine.apply(self.state.plan, lambda step: call(self._step, step))
        except ApplianceError as error:
            call(self.query_one(FindingList).put, Line("bad", "Apply", error.message, error.hint))
            call(self._ended, None)
            return
        call(self._ended, result)

    def _step(self, step: Step) -> None:
        self.query_one(FindingList).put(Line(_MARKS[step.state], step.title, step.detail, step.remedy))

    def _ended(self, result: Result | None) -> None:
        self.state.result = result
        findings = self.query_one(FindingList)
        if result is None or not result.ok:
            if result is not None:
                findings.put(
                    Line("bad", "Rolled back", result.reason, "the previous settings are active; Esc: change answers")
                )
            self.say("It did not work. Your answers are kept.")
            self.query_one("#back", PushButton).focus()
            return
        if result.confirm_by is not None:
            left = result.confirm_by - self.state.machine.now()
            self.app.push_screen(KeepIt(left), self._kept)
            return
        self._well(result)

    def _kept(self, keep: bool | None) -> None:
        self._settle(bool(keep))

    @work(thread=True, group="apply")
    def _settle(self, keep: bool) -> None:
        call, machine = self.app.call_from_thread, self.state.machine
        try:
            if keep:
                machine.confirm()
                call(self.query_one(FindingList).put, Line("ok", "Confirmed", "change kept"))
                call(self._well, self.state.result)
            else:
                machine.revert()
                call(self.query_one(FindingList).put, Line("doubt", "Reverted", "the previous settings are active"))
                call(self._ended, None)
        except ApplianceError as error:
            call(self.query_one(FindingList).put, Line("bad", "Confirm", error.message, error.hint))

    def _well(self, result: Result | None) -> None:
        self.done = True
        self.state.forget()
        self.say("Done." if result is None or result.changed else "Nothing changes.")
        self.query_one("#next", PushButton).focus()

    def leave(self) -> None:
        if not self.done:
            raise ApplianceError("Not done yet", hint="wait, or go back if it fails")

    @property
    def busy(self) -> bool:
        """Return whether settings are being applied right now."""
        return any(worker.is_running and worker.group == "apply" for worker in self.workers)

    def action_back(self) -> None:
        if self.busy:
            self.say("Please wait until this is done.")
            return
        if not self.done:
            super().action_back()
