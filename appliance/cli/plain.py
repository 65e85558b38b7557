"""Commands in their plainest form, without the command line's library: those that live long or are asked often.

That library takes 0.1 s and 8 MiB. Whatever has an option that is not known here goes the usual way.
"""

from collections.abc import Callable
from pathlib import Path


def plain(words: list[str]) -> Callable[[], int] | None:
    """Return what does the command, None when it is not one of these."""
    match words:
        case ["relay", "run"]:
            return _relay("")
        case ["relay", "run", "--config" | "-c", path] if not path.startswith("-"):
            return _relay(path)
        case ["relay", "run", option] if option.startswith("--config="):
            return _relay(option.removeprefix("--config="))
        case ["relay", "receive", "--config" | "-c", path] if not path.startswith("-"):
            return _receiver(path)
        case ["relay", "receive", option] if option.startswith("--config="):
            return _receiver(option.removeprefix("--config="))
        case ["status", *options] if set(options) <= {"--json", "--watch", "-w"}:
            return _status(options)
        case ["console"]:
            return _console
    return None


def _relay(path: str) -> Callable[[], int]:
    def run() -> int:
        from appliance.cli.relay_process import run_relay

        return run_relay(path)

    return run


def _receiver(path: str) -> Callable[[], int]:
    def run() -> int:
        from appliance.cli.receiver_process import run_receiver

        return run_receiver(path)

    return run


def _status(options: list[str]) -> Callable[[], int]:
    def run() -> int:
        from appliance.cli.status_text import show

        return show(as_json="--json" in options, watch="--watch" in options or "-w" in options)

    return run


def _console() -> int:
    from appliance.cli.console_process import run_console

    return run_console(Path("/"))
