"""The edge of the command line: starts a command, and turns whatever goes wrong into a sentence.

Exit codes: 0 done, 1 failed, 2 asked for wrongly, 130 interrupted. An operator never sees a
traceback, unless APPLIANCE_DEBUG=1 asks for it.
"""

import os
import sys
from collections.abc import Callable, Sequence

from appliance.cli.plain import plain
from appliance.errors import ApplianceError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name, by default the process's own; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guard(lambda: _dispatch(words))


def guard(action: Callable[[], int]) -> int:
    """Run an action and return its exit code; say on stderr what made it fail."""
    try:
        code = action()
        sys.stdout.flush()
    except ApplianceError as error:
        if _debug():
            _print_traceback()
        return _say(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has seen enough. Python flushes stdout once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:
        if _debug():
            raise
        message = f"internal error: {type(error).__name__}: {error}"
        return _say(message, f"details are in {_keep_details()}; APPLIANCE_DEBUG=1 shows them at once", 1)
    return code


def _dispatch(words: list[str]) -> int:
    if (action := plain(words)) is not None:
        return action()
    from appliance.cli.commands import run

    return run(words or ["--help"])


def _say(message: str, hint: str, code: int) -> int:
    from appliance.host.status.remedy import Reader, addressed

    if os.geteuid() != 0 and os.path.isdir("/etc/appliance"):
        hint = addressed(hint, Reader.USER)
    sys.stderr.write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))
    return code


def _debug() -> bool:
    return os.environ.get("APPLIANCE_DEBUG", "") not in ("", "0")


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def _keep_details() -> str:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="appliance-error-", suffix=".txt", delete=False) as file:
        traceback.print_exc(file=file)
    return file.name


if __name__ == "__main__":
    sys.exit(main())
