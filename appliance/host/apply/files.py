"""The files a configuration names: are they there, and are secrets private?"""

import re
import stat
from collections.abc import Iterator

from appliance.config.model import Config
from appliance.config.problems import Problem
from appliance.config.secret_files import secret_files
from appliance.host.layout import TLS, Layout

_CRYPT = re.compile(r"\$(y|gy|7|2[aby]|6|5)\$[^\s:]{10,}")


def file_problems(config: Config, layout: Layout) -> Iterator[Problem]:
    """Yield problems with the files the configuration refers to. Never shows their contents."""
    auth, tls = config.loki.basic_auth, config.loki.tls
    if auth:
        yield from _secret("loki.basic_auth.password_file", auth.password_file, layout)
    if config.loki.bearer_token_file:
        yield from _secret("loki.bearer_token_file", config.loki.bearer_token_file, layout)
    if tls.ca_file:
        yield from _present("loki.tls.ca_file", tls.ca_file, layout)
    if tls.cert_file:
        yield from _present("loki.tls.cert_file", tls.cert_file, layout)
    if tls.key_file:
        yield from _secret("loki.tls.key_file", tls.key_file, layout)
    for where, path in secret_files(config.relay, "relay"):
        if where != "relay.push.tls.key_file":
            yield from _secret(where, str(path), layout)
    listeners = {f"listeners.{name}": getattr(config.listeners, name) for name in ("tls", "relp_tls")}
    for name, listener in {**listeners, "relay.push": config.relay.push}.items():
        if listener is None or listener.tls is None:
            continue
        for key in ("cert_file", "key_file", "ca_file"):
            path = getattr(listener.tls, key)
            if not path.startswith(f"{TLS}/"):  # our own are made by the appliance itself
                yield from _present(f"{name}.tls.{key}", path, layout)
    if config.access.password_file:
        yield from _password(config.access.password_file, layout)


def _present(where: str, path: str, layout: Layout) -> Iterator[Problem]:
    if not layout.at(path).is_file():
        yield Problem(where, "there is no such file", "put it there first, or leave the key out", path)


def _secret(where: str, path: str, layout: Layout) -> Iterator[Problem]:
    file = layout.at(path)
    if not file.is_file():
        yield Problem(where, "there is no such file", f"write the secret into it, then chmod 600 {path}", path)
    elif stat.S_IMODE(file.stat().st_mode) & 0o007:
        yield Problem(where, "others may read this secret", f"chmod 640 {path}", path, severity="warning")
    elif not file.stat().st_size:
        yield Problem(where, "the file is empty", "write the secret into it", path)


def _password(path: str, layout: Layout) -> Iterator[Problem]:
    where = "access.password_file"
    problems = list(_secret(where, path, layout))
    yield from problems
    if any(problem.severity == "error" for problem in problems):
        return
    lines = layout.at(path).read_text(errors="replace").split("\n")
    if not _CRYPT.fullmatch(lines[0].strip()) or any(line.strip() for line in lines[1:]):
        hint = f"`openssl passwd -6` makes one; only the hash on one line of {path}"
        yield Problem(where, "not a password hash of crypt(5)", hint, path)
