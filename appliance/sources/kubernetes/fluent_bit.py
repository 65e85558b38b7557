"""Fluent Bit's configuration for the pods of one node, and its container. Pure.

Sources: fluent/fluent-bit-docs, pipeline/outputs/loki.md, filters/kubernetes.md, inputs/tail.md,
administration/scheduling-and-retries.md and pipeline/buffering.md, August 2026.
"""

from typing import Any

from appliance.sources.kubernetes.target import Target

IMAGE = "docker.io/fluent/fluent-bit:4.2.3"
CONFIG = "fluent-bit.yaml"
PORT = 2020

_PIPELINE = """\
service:
  flush: 1
  http_server: on
  http_listen: 0.0.0.0
  http_port: 2020
  health_check: on
  storage.path: /var/lib/forwarder-agent/fluent-bit/storage
  storage.sync: normal
  storage.max_chunks_up: 64

pipeline:
  inputs:
    - name: tail
      tag: kube.*
      path: /var/log/containers/*.log
      exclude_path: /var/log/containers/*_forwarder-agent_*.log
      multiline.parser: cri, docker
      db: /var/lib/forwarder-agent/fluent-bit/tail.db
      read_from_head: on
      skip_long_lines: on
      buffer_max_size: 1M
      rotate_wait: 30
      storage.type: filesystem

  filters:
    - name: kubernetes
      match: kube.*
      labels: on
      annotations: off
      merge_log: off
      buffer_size: 256k
    # Everything that becomes a label to the top, with app from the recommended label or, without it, the plain one.
    - name: nest
      match: kube.*
      operation: lift
      nested_under: kubernetes
      add_prefix: k_
    - name: nest
      match: kube.*
      operation: lift
      nested_under: k_labels
      add_prefix: l_
    - name: modify
      match: kube.*
      rename:
        - l_app.kubernetes.io/name app
        - l_app app
    - name: record_modifier
      match: kube.*
      allowlist_key:
        - log
        - app
        - k_namespace_name
        - k_pod_name
        - k_container_name
        - k_host

  outputs:
    - name: loki
      match: kube.*
"""
_LABELS = (
    "job=kubernetes, namespace=$k_namespace_name, pod=$k_pod_name, container=$k_container_name, node=$k_host, app=$app"
)


def config(target: Target) -> str:
    """Return Fluent Bit's configuration: a line is the container's own text, everything else is a label."""
    lines = [
        f"host: '{target.host}'",
        f"port: {target.port}",
        f"uri: {target.path}",
        f"labels: {_LABELS}",
        "remove_keys: app, k_namespace_name, k_pod_name, k_container_name, k_host",
        "drop_single_key: raw",
        "retry_limit: no_limits",
        "storage.total_limit_size: 2G",
    ]
    if target.wants_token:
        lines.append("bearer_token: ${FORWARDER_TOKEN}")
    if target.tls:
        lines += ["tls: on", "tls.verify: on"]
        lines += ["tls.ca_file: /etc/agent/ca.crt"] if target.authority else []
        lines += [f"tls.vhost: {target.server_name}"] if target.server_name else []
    return _PIPELINE + "".join(f"      {line}\n" for line in lines)


def container(target: Target) -> dict[str, Any]:
    """Return what is Fluent Bit's own in the container."""
    token = {"secretKeyRef": {"name": "forwarder-agent", "key": "token"}}
    return {
        "image": IMAGE,
        "args": ["--config", f"/etc/agent/{CONFIG}"],
        "env": [{"name": "FORWARDER_TOKEN", "valueFrom": token}] if target.wants_token else [],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "initialDelaySeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/", "port": "http"},
            "initialDelaySeconds": 60,
            "periodSeconds": 30,
            "failureThreshold": 6,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    }
