"""The terminal that the console draws on: what is drawn goes to standard output, and nothing is asked.

Textual's own driver draws on standard error, which for a service is the journal, and asks the terminal
what it can do; a screen of the kernel's answers nothing, and what a serial line's other end makes of the
question nobody knows.
"""

import os
import sys

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

# The keyboard protocol of kitty on and off, reports of the focus on and off.
_UNWANTED = ("\x1b[>25u", "\x1b[<u", "\x1b[?1004h", "\x1b[?1004l")


class ConsoleDriver(LinuxDriver):
    """Textual's driver for a terminal that is nothing more than a terminal."""

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        assert sys.__stdout__ is not None
        self._file = sys.__stdout__
        if os.environ.get("TERM") == "linux":
            # Debian's setup of the console may have switched UTF-8 off on the kernel's screen.
            self._file.write("\x1b%G")

    def write(self, data: str) -> None:
        """Write what every terminal understands."""
        if data not in _UNWANTED:
            super().write(data)

    def _request_terminal_sync_mode_support(self) -> None:
        """Ask nothing."""

    def _query_in_band_window_resize(self) -> None:
        """Ask nothing: the kernel tells when the size changes."""
