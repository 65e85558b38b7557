"""Docker hosts: the syslog log driver, and the plugin that speaks Loki's push API."""

import json
from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant
from appliance.sources.rsyslog_action import AUTHORITY


def _daemon(driver: str, options: dict[str, str]) -> tuple[str, ...]:
    return tuple(json.dumps({"log-driver": driver, "log-opts": options}, indent=2).splitlines())


def _variants(at: Forwarder) -> Iterator[Variant]:
    schemes: dict[Transport, str] = {"tls": "tcp+tls", "tcp": "tcp", "udp": "udp"}
    for transport, scheme in schemes.items():
        if (port := at.port(transport)) is None:
            continue
        options = {
            "syslog-address": f"{scheme}://{at.named_host if transport == 'tls' else at.host}:{port}",
            "syslog-format": "rfc5424micro",
            "syslog-facility": "daemon",
            "tag": "{{.Name}}",
            "mode": "non-blocking",
            "max-buffer-size": "8m",
        }
        if transport == "tls":
            options["syslog-tls-ca-cert"] = AUTHORITY
        note = f"Put `appliance tls export-ca` there as {AUTHORITY}." if transport == "tls" else ""
        yield Variant(
            f"/etc/docker/daemon.json: the syslog driver over {transport.upper()}", transport,
            _daemon("syslog", options), note, "text",
        )  # fmt: skip
    if at.push is not None:
        options = {
            "loki-url": at.push_url,
            "loki-external-labels": "job=docker,host={{.Node.Hostname}},container_name={{.Name}}",
            "loki-retries": "0",
            "loki-batch-size": "1048576",
            "mode": "non-blocking",
            "max-buffer-size": "8m",
        }
        if at.push_tls:
            options["loki-tls-ca-file"] = AUTHORITY
        note = (
            "Before: docker plugin install grafana/loki-docker-driver:latest --alias loki --grant-all-permissions. "
            "loki-retries 0 means forever; with mode blocking that would stop containers."
        )
        if at.push_token:
            note += " The plugin knows basic authentication only: https://NAME:TOKEN@… in loki-url."
        yield Variant(
            "/etc/docker/daemon.json: Loki's driver", "push", _daemon("loki", options), note, "text"
        )  # fmt: skip


KIND = Kind(
    name="docker",
    title="Docker",
    summary="A log driver for all containers of a host; the settings count for containers made after a restart of "
    "the daemon.",
    transports=("tls", "tcp", "push", "udp"),
    variants=_variants,
    check=("docker run --rm alpine echo forwarder-test; then here `appliance status` shows the host as a sender.",),
    traps=(
        "With a TCP or TLS address that cannot be reached containers do not start: the driver fails when it begins.",
        "mode non-blocking drops lines when the buffer is full; blocking stops the container's writes instead.",
        (
            "Nothing waits on disk: a host whose lines must not be lost keeps the json-file or journald driver, and "
            "Alloy or Fluent Bit read them (`appliance sources alloy`)."
        ),
        (
            "The syslog driver's rfc5424 forms leave structured data out altogether: text that begins with a bracket "
            "stays in the text here."
        ),
    ),
    sources=(
        Source("https://docs.docker.com/engine/logging/drivers/syslog/", "2026-08"),
        Source("https://grafana.com/docs/loki/latest/send-data/docker-driver/configuration/", "2026-08"),
        Source("https://github.com/moby/moby/issues/26937", "2016-10"),
    ),
)
