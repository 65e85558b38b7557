"""Grafana Alloy's configuration for the pods of one node, and its container. Pure.

Sources: grafana/alloy, docs/sources/collect/logs-in-kubernetes.md, the components' references and the
Helm chart's templates (operations/helm/charts/alloy), August 2026.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.sources.kubernetes.target import Target

IMAGE = "docker.io/grafana/alloy:v1.18.1"
CONFIG = "config.alloy"
PORT = 12345
_ACTIONS = frozenset(("replace", "keep", "drop", "labelmap", "labeldrop", "labelkeep", "hashmod", "lowercase",
                      "uppercase", "keepequal", "dropequal"))  # fmt: skip

_DISCOVERY = """\
discovery.kubernetes "pods" {
  role = "pod"

  selectors {
    role  = "pod"
    field = "spec.nodeName=" + sys.env("NODE_NAME")
  }
}

discovery.relabel "pods" {
  targets = discovery.kubernetes.pods.targets
"""
_READING = """\
}

local.file_match "pods" {
  path_targets = discovery.relabel.pods.output
}

loki.source.file "pods" {
  targets    = local.file_match.pods.targets
  forward_to = [loki.process.pods.receiver]
}

loki.process "pods" {
  forward_to = [loki.write.forwarder.receiver]

  stage.cri { }

  // The path holds the count of restarts: a stream for each would be too many.
  stage.label_drop {
    values = ["filename"]
  }
}
"""
_PATH: Mapping[str, Any] = {
    "source_labels": ["__meta_kubernetes_pod_uid", "__meta_kubernetes_pod_container_name"],
    "separator": "/",
    "replacement": "/var/log/pods/*$1/*.log",
    "target_label": "__path__",
}
USUAL_RULES: tuple[Mapping[str, Any], ...] = (
    {"replacement": "kubernetes", "target_label": "job"},
    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
    {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
    {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"},
    {"source_labels": ["__meta_kubernetes_pod_node_name"], "target_label": "node"},
    {
        "source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name", "__meta_kubernetes_pod_label_app"],
        "regex": ";*([^;]+)(;.*)?",
        "target_label": "app",
    },
)
"""Labels namespace, pod, container, node and app of each line, where nothing else is asked for."""


def config(target: Target, rules: Sequence[Mapping[str, Any]] = USUAL_RULES) -> str:
    """Return Alloy's configuration; `rules` are Prometheus' over `__meta_kubernetes_*`."""
    blocks = [_rule(rule) for rule in (*rules, _PATH)]
    return _DISCOVERY + "\n" + "\n".join(blocks) + _READING + "\n" + _write(target)


def _rule(rule: Mapping[str, Any]) -> str:
    lines = ["  rule {"]
    for key in ("action", "source_labels", "separator", "regex", "modulus", "replacement", "target_label"):
        if key in rule and not (key == "action" and str(rule[key]).lower() not in _ACTIONS):
            lines.append(f"    {key:13} = {_value(rule[key])}")
    return "\n".join([*lines, "  }\n"])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    text = str(value)
    if text.isdigit():
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _write(target: Target) -> str:
    lines = [
        'loki.write "forwarder" {',
        "  endpoint {",
        f'    url                 = "{target.url}"',
        "    max_backoff_retries = 0 // forever; what waits stays in the nodes' files",
    ]
    if target.wants_token:
        lines.append('    bearer_token_file   = "/etc/agent-secret/token"')
    tls = [f'      {key:11} = "{value}"' for key, value in _tls(target).items()]
    if tls:
        lines += ["", "    tls_config {", *tls, "    }"]
    return "\n".join([*lines, "  }", "}"]) + "\n"


def _tls(target: Target) -> dict[str, str]:
    if not target.tls:
        return {}
    settings = {"ca_file": "/etc/agent/ca.crt"} if target.authority else {}
    return settings | ({"server_name": target.server_name} if target.server_name else {})


def container() -> dict[str, Any]:
    """Return what is Alloy's own in the container."""
    return {
        "image": IMAGE,
        "args": [
            "run",
            f"/etc/agent/{CONFIG}",
            "--storage.path=/var/lib/forwarder-agent/alloy",
            f"--server.http.listen-addr=0.0.0.0:{PORT}",
            "--disable-reporting",
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": "http"}, "initialDelaySeconds": 10},
        "livenessProbe": {
            "httpGet": {"path": "/-/ready", "port": "http"},
            "initialDelaySeconds": 60,
            "periodSeconds": 30,
            "failureThreshold": 6,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }
