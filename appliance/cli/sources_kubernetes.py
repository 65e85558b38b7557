"""The manifests of `appliance sources kubernetes`: to standard output for kubectl, or as files for Kustomize."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from appliance.errors import UsageError

if TYPE_CHECKING:
    from appliance.sources.forwarder import Forwarder
    from appliance.sources.kubernetes.manifests import Agent
    from appliance.sources.kubernetes.target import Target


def write_manifests(
    at: "Forwarder | None", agent: "Agent", *, loki_url: str, token_file: Path | None, ca: str, directory: Path | None
) -> None:
    """Write all objects for an agent that pushes to the forwarder, or without one to the Loki at `loki_url`."""
    from appliance.sources.kubernetes.manifests import WHY, as_yaml, kustomization, objects

    made = objects(_target(at, loki_url, _token(token_file), ca), agent)
    if directory is None:
        typer.echo(as_yaml(made, WHY), nl=False)
    else:
        write_files(directory, kustomization(made))
        typer.echo(f"{directory}: now kubectl apply -k {directory}")


def write_files(directory: Path, files: dict[str, str]) -> None:
    """Write files into a directory that is new or empty; the one with a token may be read by its owner only."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty", hint="name a new directory")
        for name, text in files.items():
            path = directory / name
            path.touch(0o600 if name == "secret.yaml" else 0o644)
            path.write_text(text)
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror}") from None


def _target(at: "Forwarder | None", loki_url: str, token: str, ca: str) -> "Target":
    from appliance.sources.kubernetes.target import loki, this_forwarder

    if at is None:
        return loki(loki_url, token, ca)
    if at.push is None:
        hint = "switch relay.listen.push on here first, or name a Loki with --loki"
        raise UsageError("this forwarder has no push listener that others reach", hint=hint)
    return this_forwarder(at, token)


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path} cannot be read", hint="the file with the token of `appliance token new`") from None
    if not token or len(token.split()) != 1:
        raise UsageError(f"{path} holds no token", hint="one word on one line")
    return token
