"""Which files a configuration takes secrets from, and whether others could read them.

Looks at the files' existence and mode, never at their content.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from appliance.config.model import Config
from appliance.config.problems import Problem
from appliance.config.section import Section

_SECRET_KEYS = frozenset(("password_file", "bearer_token_file", "token_file", "key_file"))


def secret_files(config: Section, path: str = "") -> Iterator[tuple[str, Path]]:
    """Yield each key that names a file with a secret, as a path in the configuration, and the file."""
    for item in msgspec.structs.fields(config):
        value = getattr(config, item.name)
        where = f"{path}.{item.encode_name}" if path else item.encode_name
        if isinstance(value, Section):
            yield from secret_files(value, where)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                if isinstance(inner, Section):
                    yield from secret_files(inner, f"{where}[{index}]")
        elif item.encode_name in _SECRET_KEYS and isinstance(value, str):
            yield where, Path(value)


def check_secret_files(config: Config, *, missing: bool = False) -> Iterator[Problem]:
    """Yield a warning for each secret that others can read; with `missing` an error for each absent file."""
    for where, path in secret_files(config):
        try:
            mode = path.stat().st_mode
        except PermissionError:
            if missing:
                message = "not checked: this user may not read its directory"
                yield Problem(where, message, "needs root: `appliance check`", str(path), severity="warning")
            continue
        except OSError as error:
            if missing:
                reason = error.strerror or "unreadable"
                yield Problem(where, f"the file cannot be read: {reason}", "create it with mode 0600", str(path))
            continue
        if mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
            hint = f"chmod 600 {path}"
            yield Problem(where, "others can read or change this secret", hint, str(path), severity="warning")
