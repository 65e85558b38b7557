"""`appliance relay run`: from the file to the running relay. Kept free of the command line's library."""

from pathlib import Path

from appliance.config.load import DEFAULT_PATH, load_checked
from appliance.config.model import Config


def run_relay(path: Path | str = "") -> int:
    """Run the relay in the foreground with the file's configuration; return the exit code."""
    file = Path(path or DEFAULT_PATH)
    checked = load_checked(file)
    from appliance.relay import service  # after the file is known to be good: an error is shown sooner

    def read_again() -> Config:
        return load_checked(file).config

    return service.run(checked.config, read_again)
