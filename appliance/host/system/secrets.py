"""Secret files: who owns them, and writing one. Their content is never shown or logged."""

import os
import pwd
from pathlib import Path

import msgspec

from appliance.config.model import Config
from appliance.config.secret_files import secret_files
from appliance.host.layout import SECRETS, Layout
from appliance.host.tree import sync_directory, write_durably

RELAY_USER = "appliance"


def write_secret(layout: Layout, name: str, value: str) -> str:
    """Keep a secret for the relay as a file of mode 0600; return its path, for the configuration."""
    directory = layout.at(SECRETS)
    make_secrets_directory(layout)
    owner = _relay_user() or str(os.geteuid())
    write_durably(directory / name, value.rstrip("\n").encode() + b"\n", 0o600, owner, owner)
    sync_directory(directory)
    return f"{SECRETS}/{name}"


def make_secrets_directory(layout: Layout) -> None:
    """Make the directory of secrets: root's, to be passed through by the relay, listed by nobody else."""
    directory = layout.at(SECRETS)
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o750)
    if os.geteuid() == 0 and (user := _relay_user()):
        os.chown(directory, 0, pwd.getpwnam(user).pw_gid)


def hand_to_relay(config: Config, layout: Layout) -> None:
    """Give the relay, and nobody else, what it has to read towards Loki and of its clients.

    Secrets are put there by root (cloud-init, an operator); the relay is not root.
    """
    user = _relay_user()
    if user is None or os.geteuid() != 0:
        return
    account = pwd.getpwnam(user)
    for where, path in secret_files(config):
        file: Path = layout.at(str(path))
        # The key of relay.push.tls may be rsyslog's, too: the relay has a copy.
        if where.startswith(("loki.", "relay.")) and where != "relay.push.tls.key_file" and file.is_file():
            os.chown(file, account.pw_uid, account.pw_gid)
            file.chmod(0o600)


PUSH_CERTIFICATE, PUSH_KEY = f"{SECRETS}/push-server.crt", f"{SECRETS}/push-server.key"
"""The relay's copies of the certificate and key of relay.push.tls."""


def for_relay(config: Config) -> Config:
    """Return the configuration as the relay reads it, which has copies of what is root's."""
    tls = config.relay.push.tls
    if tls is None:
        return config
    replace = msgspec.structs.replace
    push = replace(config.relay.push, tls=replace(tls, cert_file=PUSH_CERTIFICATE, key_file=PUSH_KEY))
    return replace(config, relay=replace(config.relay, push=push))


def hand_certificate_to_relay(config: Config, layout: Layout) -> None:
    """Make or renew the relay's copies, where they differ. The relay looks for new ones itself."""
    tls = config.relay.push.tls
    if tls is None:
        return
    make_secrets_directory(layout)
    owner = _relay_user() or str(os.geteuid())
    for source, copy in ((tls.key_file, PUSH_KEY), (tls.cert_file, PUSH_CERTIFICATE)):
        content, target = layout.at(source).read_bytes(), layout.at(copy)
        if not target.exists() or target.read_bytes() != content:
            write_durably(target, content, 0o600, owner, owner)
    sync_directory(layout.at(SECRETS))


def _relay_user() -> str | None:
    try:
        return pwd.getpwnam(RELAY_USER).pw_name
    except KeyError:
        return None
