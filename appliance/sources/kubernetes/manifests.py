"""The complete set of objects, as data and as YAML: for `kubectl apply -f -`, and as files for Kustomize. Pure.

Source: Kubernetes API reference v1.25 to v1.35; the tests check every object against its published
OpenAPI schemas and let `kubectl kustomize` build the files where there is one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import yaml

from appliance.sources.kubernetes import alloy, fluent_bit
from appliance.sources.kubernetes.target import Target

Agent = Literal["alloy", "fluent-bit"]
NAME = "forwarder-agent"
_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "logs"}
_STATE = "/var/lib/forwarder-agent"

WHY = (
    "A DaemonSet, because each node's logs are files of that node: a Deployment with three replicas reads those of "
    "at most three nodes, and of one twice when two replicas share it. The ConfigMap is mounted by the name that it "
    "has (promtail-conf was mounted as promtail-config, so no pod could start). The ClusterRole is bound to the "
    "service account by a ClusterRoleBinding, and the account itself is made: without them the agent may list no "
    "pods and reads nothing. /var/log is mounted read-only, positions are kept in a directory of their own, not in "
    "/var/log/positions.yaml, and paths are made from the pod's uid and container. Lines of containerd and CRI-O are "
    "read as CRI, not as Docker's JSON, which made one unreadable line of each."
)
"""What was wrong with manifests as they are often copied for Promtail, and what is done about it here."""


def objects(
    target: Target, agent: Agent = "alloy", rules: Sequence[Mapping[str, Any]] = alloy.USUAL_RULES
) -> list[dict[str, Any]]:
    """Return all objects in the order in which they must be made; `rules` are Alloy's."""
    data = {alloy.CONFIG: alloy.config(target, rules)} if agent == "alloy" else {}
    data |= {fluent_bit.CONFIG: fluent_bit.config(target)} if agent == "fluent-bit" else {}
    data |= {"ca.crt": target.authority.strip() + "\n"} if target.authority else {}
    found = [
        _object("v1", "Namespace", namespaced=False, more_labels={"pod-security.kubernetes.io/enforce": "privileged"}),
        _object("v1", "ServiceAccount"),
        _object("rbac.authorization.k8s.io/v1", "ClusterRole", namespaced=False, rules=[
            {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["get", "list", "watch"]},
        ]),
        _object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", namespaced=False,
                roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
                subjects=[{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}]),
        _object("scheduling.k8s.io/v1", "PriorityClass", namespaced=False, value=1000000, globalDefault=False,
                description="Reads the logs of every node: stays when others are evicted."),
        _object("v1", "ConfigMap", data=data),
    ]  # fmt: skip
    if target.wants_token:
        found.append(_object("v1", "Secret", type="Opaque", stringData={"token": target.token}))
    return [*found, _daemon_set(target, agent, data)]


def as_yaml(made: Sequence[Mapping[str, Any]], comment: str = "") -> str:
    """Return objects as one YAML stream, with a comment above."""
    head = "".join(f"# {line}\n" for line in _wrapped(comment)) if comment else ""
    return head + "---\n".join(_dump(one) for one in made)


def kustomization(made: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the same objects as files for Kustomize, by their names."""
    files = {f"{str(one['kind']).lower()}.yaml": _dump(one) for one in made}
    top = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}
    return {"kustomization.yaml": _dump(top), **files}


def _object(
    version: str, kind: str, *, namespaced: bool = True, more_labels: Mapping[str, str] | None = None, **rest: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": NAME}
    if namespaced:
        metadata["namespace"] = NAME
    metadata["labels"] = {**_LABELS, **(more_labels or {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _daemon_set(target: Target, agent: Agent, data: Mapping[str, str]) -> dict[str, Any]:
    own = alloy.container() if agent == "alloy" else fluent_bit.container(target)
    node = {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": "/etc/agent", "readOnly": True},
        {"name": "logs", "mountPath": "/var/log", "readOnly": True},
        {"name": "docker", "mountPath": "/var/lib/docker/containers", "readOnly": True},
        {"name": "state", "mountPath": _STATE},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": NAME}},
        {"name": "logs", "hostPath": {"path": "/var/log", "type": "Directory"}},
        {"name": "docker", "hostPath": {"path": "/var/lib/docker/containers", "type": "DirectoryOrCreate"}},
        {"name": "state", "hostPath": {"path": _STATE, "type": "DirectoryOrCreate"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    if target.wants_token and agent == "alloy":
        mounts.append({"name": "secret", "mountPath": "/etc/agent-secret", "readOnly": True})
        volumes.append({"name": "secret", "secret": {"secretName": NAME, "defaultMode": 0o400}})
    container = {
        "name": "agent",
        **own,
        "env": [node, *own.get("env", [])],
        "volumeMounts": mounts,
        "securityContext": {
            "runAsUser": 0,  # the nodes' logs are root's
            "runAsGroup": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "metadata": {"labels": dict(_LABELS), "annotations": {"forwarder-agent/config": _digest(data)}},
        "spec": {
            "serviceAccountName": NAME,
            "priorityClassName": NAME,
            "terminationGracePeriodSeconds": 30,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            # Every node, also control planes and those that are cordoned or short of something.
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": volumes,
        },
    }
    spec = {
        "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
        "template": pod,
    }
    return _object("apps/v1", "DaemonSet", spec=spec)


def _digest(data: Mapping[str, str]) -> str:
    """Return what changes with the configuration, so that a new one restarts the agents."""
    import hashlib

    return hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(data.items())).encode()).hexdigest()[:16]


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they read, and lists indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _dump(value: Mapping[str, Any]) -> str:
    return str(yaml.dump(dict(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
