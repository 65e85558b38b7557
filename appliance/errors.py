"""The one way to fail: an error that states the problem and what to do about it.

Code anywhere raises ApplianceError; only the command-line edge prints it (one sentence and one
hint on stderr) and turns it into the exit code. Nothing here does I/O.
"""


class ApplianceError(Exception):
    """Something an operator can cause or fix.

    `message` is one sentence without a trailing period, `hint` says what to do, `exit_code` is 1
    for something that failed and 2 for something that was asked for wrongly.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(ApplianceError):
    """The request itself cannot be understood: wrong option, wrong value, unreadable input."""

    exit_code = 2
