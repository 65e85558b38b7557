"""`python -m image build`: the edge that turns a command line into a build and errors into words."""

import sys

from appliance.errors import ApplianceError
from image.options import parse_build_options
from image.pipeline import build
from image.steps import StepFailed

_USAGE = "usage: python -m image build [options]   (python -m image build --help)\n"


def main(words: list[str] | None = None) -> int:
    """Exit status: 0 built, 1 failed, 2 asked for wrongly."""
    words = sys.argv[1:] if words is None else words
    if not words or words[0] != "build":
        (sys.stdout if words in (["--help"], ["-h"]) else sys.stderr).write(_USAGE)
        return 0 if words in (["--help"], ["-h"]) else 2
    try:
        build(parse_build_options(words[1:]))
    except ApplianceError as error:
        if isinstance(error, StepFailed):
            for line in error.lines:
                sys.stderr.write(f"    {line}\n")
        sys.stderr.write(f"Error: {error.message}.\n")
        if error.hint:
            sys.stderr.write(f"Hint: {error.hint}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Error: interrupted.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
