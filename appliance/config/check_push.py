"""Rules of `relay.push` and `relay.http` that no type can say: nobody may push or look who is not meant to. Pure."""

import re
from collections import Counter
from collections.abc import Iterator

from appliance.config.check_relabel import valid_label_name
from appliance.config.model_push import HttpAccess, Push, PushClient
from appliance.config.model_relay import Relay
from appliance.config.problems import Problem, shown
from appliance.config.ranges import check_range, is_loopback

TENANT = re.compile(r"[a-zA-Z0-9!\-_.*'()]{1,150}")
_TOKEN_HINT = "`appliance token new NAME` makes a token and prints the lines"


def check_push(relay: Relay) -> Iterator[Problem]:
    """Yield problems with who may push, and who may read metrics and status."""
    push, http, listen = relay.push, relay.http, relay.listen
    if listen.push is not None and not is_loopback(listen.push.host):
        yield from _check_open(push, listen.push)
    for index, client in enumerate(push.clients):
        yield from _check_client(client, f"relay.push.clients[{index}]", push)
    for name, count in Counter(client.name for client in push.clients).items():
        if count > 1:
            yield Problem("relay.push.clients", f"{shown(name)} is listed twice", "give each client a name of its own")
    if listen.http is not None and not is_loopback(listen.http.host) and not (http.token_file or http.addresses):
        hint = "set relay.http.token_file or relay.http.from, or listen on 127.0.0.1"
        yield Problem("relay.http", "anyone who can reach relay.listen.http can read status and metrics", hint)
    yield from _check_ranges(http, "relay.http")


def _check_open(push: Push, address: str) -> Iterator[Problem]:
    known_by_certificate = push.tls is not None and push.tls.client_certificates != "none"
    if push.anyone:
        hint = "list clients instead: " + _TOKEN_HINT
        yield Problem(
            "relay.push.anyone", "anyone who can reach this address may push", hint, address, severity="warning"
        )
    elif not push.clients and not known_by_certificate:
        hint = f"{_TOKEN_HINT}; relay.push.anyone: true lets everybody push"
        yield Problem("relay.push.clients", "anyone who can reach relay.listen.push can push", hint, address)
    if push.tls is None and any(client.token_file or client.password_file for client in push.clients):
        message = "tokens and passwords of clients go over the network unencrypted"
        yield Problem("relay.push.tls", message, "set relay.push.tls: {}", severity="warning")


def _check_client(client: PushClient, where: str, push: Push) -> Iterator[Problem]:
    if client.token_file and client.password_file:
        yield Problem(f"{where}.password_file", "a client has a token or a password, not both")
    if (client.user is None) != (client.password_file is None):
        missing = "user" if client.user is None else "password_file"
        yield Problem(f"{where}.{missing}", "missing: basic authentication has a user and a password")
    certificates = push.tls is not None and push.tls.client_certificates != "none"
    if not (client.token_file or client.password_file or client.addresses or certificates):
        hint = "set token_file, user and password_file, from, or relay.push.tls.client_certificates: ca"
        yield Problem(where, "nothing tells this client from any other", hint, client.name)
    if client.tenant is not None and client.tenants:
        yield Problem(f"{where}.tenants", "not looked at, for tenant is fixed", "remove one of them")
    for tenant in (*([client.tenant] if client.tenant is not None else []), *client.tenants):
        if not TENANT.fullmatch(tenant) or tenant in (".", ".."):
            hint = "1 to 150 of letters, digits and !-_.*'()"
            yield Problem(f"{where}.tenants", "not a valid tenant for Loki", hint, shown(tenant))
    for name, value in client.labels.items():
        if not valid_label_name(name) or name.startswith("__"):
            hint = "letters, digits and _, not starting with a digit or __"
            yield Problem(f"{where}.labels.{shown(name)}", "not a label name", hint)
        if not value:
            yield Problem(f"{where}.labels.{shown(name)}", "an empty label is no label", "give it a value or remove it")
    yield from _check_ranges(client, where)


def _check_ranges(section: PushClient | HttpAccess, where: str) -> Iterator[Problem]:
    for index, text in enumerate(section.addresses):
        yield from check_range(text, f"{where}.from[{index}]")
