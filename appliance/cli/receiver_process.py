"""`appliance relay receive`: from the file to the running receiver. Kept free of the command line's library."""

import os
from pathlib import Path

from appliance.config.load import DEFAULT_PATH, load_checked
from appliance.config.model import Config
from appliance.errors import ApplianceError

WRITER = "receiver"
"""Its directory among the hand-over files."""


def run_receiver(path: Path | str = "") -> int:
    """Receive in the foreground with the file's configuration; return the exit code."""
    file = Path(path or DEFAULT_PATH)
    config = load_checked(file).config
    from appliance.relay.handover.writer import HandoverWriter  # after the file is known to be good
    from appliance.relay.receive import counts, service

    root = config.relay.listen.handover
    if root is None:
        raise ApplianceError(
            "the receiver has nowhere to hand its messages to", hint="set relay.listen.handover to a directory"
        )
    writer = HandoverWriter(Path(root) / WRITER, max_backlog=_share(config))

    def read_again() -> Config:
        again = load_checked(file).config
        writer.max_backlog = _share(again)
        return again

    try:
        return service.run(config, read_again, writer, counts.path_of(os.environ))
    finally:
        writer.close()


def _share(config: Config) -> int:
    """Return the bytes of hand-over files that the receiver may leave unread: rsyslog has the other half."""
    return int(config.listeners.queue.max_disk) // 2
