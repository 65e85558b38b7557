"""Manifests that somebody has: Promtail's configuration in them, and what would keep them from working. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from appliance.errors import UsageError


@dataclass(frozen=True, slots=True)
class Embedded:
    """A Promtail configuration in a ConfigMap: its text, and the line of the file that it begins after."""

    name: str
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a file of manifests holds, and its problems, each with its line."""

    configs: tuple[Embedded, ...]
    faults: tuple[tuple[int, str], ...]


def review(text: str, source: str) -> Reviewed:
    """Read a file of manifests. Raise UsageError when it is not YAML."""
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if isinstance(node, yaml.MappingNode)]
        objects = [(int(node.start_mark.line) + 1, _plain(node)) for node in nodes]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = getattr(getattr(error, "problem_mark", None), "line", 0)
        raise UsageError(f"{source} is not valid YAML near line {where + 1}", hint="look at its indentation") from None
    configs = tuple(embedded for node in nodes for embedded in _configs(node))
    return Reviewed(configs, tuple(_faults(objects)))


def _plain(node: yaml.Node) -> Any:
    return yaml.SafeLoader("").construct_document(node)


def _configs(node: yaml.MappingNode) -> Iterator[Embedded]:
    keys = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    data = keys.get("data")
    kind = keys.get("kind")
    if not isinstance(data, yaml.MappingNode) or not isinstance(kind, yaml.ScalarNode) or kind.value != "ConfigMap":
        return
    for key, value in data.value:
        if isinstance(value, yaml.ScalarNode) and ("scrape_configs:" in value.value or "clients:" in value.value):
            block = 1 if value.style in ("|", ">") else 0
            yield Embedded(str(key.value), str(value.value), int(value.start_mark.line) + block)


def _faults(objects: list[tuple[int, Any]]) -> Iterator[tuple[int, str]]:
    def named(kind: str) -> set[str]:
        return {str(one.get("metadata", {}).get("name")) for _, one in objects if one.get("kind") == kind}

    for line, one in objects:
        kind = one.get("kind")
        if kind == "ClusterRole" and not named("ClusterRoleBinding"):
            yield line, "a ClusterRole without a ClusterRoleBinding gives nobody anything"
        if kind not in ("Deployment", "DaemonSet", "StatefulSet"):
            continue
        spec = one.get("spec") or {}
        if kind != "DaemonSet":
            replicas = f" with {spec['replicas']} replicas" if "replicas" in spec else ""
            yield (
                line,
                f"a {kind}{replicas} reads the logs of the nodes that it happens to run on: a DaemonSet is meant",
            )
        pod = (spec.get("template") or {}).get("spec") or {}
        account = pod.get("serviceAccountName") or pod.get("serviceAccount")
        if account and account not in named("ServiceAccount"):
            yield line, f"the service account {account} is in none of the files"
        for volume in pod.get("volumes") or []:
            name = (volume.get("configMap") or {}).get("name")
            if name and name not in named("ConfigMap"):
                has = ", ".join(sorted(named("ConfigMap"))) or "none"
                yield (
                    line,
                    f"the volume {volume.get('name')} wants ConfigMap {name}, which is not there (there is: {has})",
                )
        for container in pod.get("containers") or []:
            yield from _container_faults(line, container)


def _container_faults(line: int, container: Any) -> Iterator[tuple[int, str]]:
    for mount in container.get("volumeMounts") or []:
        if str(mount.get("mountPath", "")).startswith("/var/log") and not mount.get("readOnly"):
            yield line, f"{mount['mountPath']} of the node is mounted for writing; an agent only reads there"
    if "promtail" in str(container.get("image", "")):
        yield line, f"{container['image']} is no longer maintained (since March 2026)"
