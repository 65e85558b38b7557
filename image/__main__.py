"""`python -m image build|run|compare`: the edge that turns a command line into work and errors into words."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import ApplianceError
from image.steps import StepFailed

_USAGE = """usage: python -m image build [options]      build the disk and what is made of it (build --help)
       python -m image run [options]        boot it in QEMU (run --help)
       python -m image compare A.raw B.raw  do two builds hold the same root file system?
"""


def main(words: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed, 2 asked for wrongly."""
    words = list(sys.argv[1:] if words is None else words)
    # A terminated build cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _dispatch(words)
    except ApplianceError as error:
        if isinstance(error, StepFailed):
            for line in error.lines:
                sys.stderr.write(f"    {line}\n")
        sys.stderr.write(f"Error: {error.message}.\n")
        if error.hint:
            sys.stderr.write(f"Hint: {error.hint}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"Error: {error.filename or 'the system'}: {error.strerror or error}.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Error: interrupted.\n")
        return 1


def _dispatch(words: list[str]) -> int:
    match words:
        case ["build", *options]:
            from image.options import parse_build_options
            from image.pipeline import build

            build(parse_build_options(options))
            return 0
        case ["run", *options]:
            from image.run import run

            return run(options)
        case ["compare", first, second]:
            from image.compare import compare

            found = compare(Path(first), Path(second))
            sys.stdout.write("".join(f"differs: {path}\n" for path in found) or "the root file systems are identical\n")
            return 1 if found else 0
        case ["--help" | "-h"]:
            sys.stdout.write(_USAGE)
            return 0
        case _:
            sys.stderr.write(_USAGE)
            return 2


if __name__ == "__main__":
    sys.exit(main())
