"""Kubernetes: the manifests of an agent on each node that pushes the pods' logs here."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.push is None:
        return
    from appliance.sources.kubernetes.manifests import Agent, as_yaml, objects
    from appliance.sources.kubernetes.target import this_forwarder

    agents: tuple[tuple[Agent, str], ...] = (("alloy", "Grafana Alloy"), ("fluent-bit", "Fluent Bit"))
    for agent, title in agents:
        lines = as_yaml(objects(this_forwarder(at), agent)).splitlines()
        note = (
            f"As they are: `appliance sources kubernetes --agent {agent} --manifests | kubectl apply -f -`; "
            "for Kustomize: --kustomize DIRECTORY."
        )
        yield Variant(f"{title}: all manifests", "push", tuple(lines), note, "yaml")


def _why() -> str:
    from appliance.sources.kubernetes.manifests import WHY

    return WHY


KIND = Kind(
    name="kubernetes",
    title="Kubernetes",
    summary="An agent on each node reads the pods' logs and pushes them as it would to Loki, with labels job, "
    "namespace, pod, container, node and app. Directly to a Loki instead: --loki URL.",
    transports=("push",),
    variants=_variants,
    check=(
        "kubectl -n forwarder-agent rollout status daemonset/forwarder-agent",
        "kubectl -n forwarder-agent logs daemonset/forwarder-agent shows no refused push.",
        'Here `appliance status` shows the nodes as senders; in Grafana: {job="kubernetes"}.',
    ),
    traps=(
        _why(),
        (
            "Agents queue in the nodes' own log files: what kubelet rotates away (5 files of 10 MiB a container, by "
            "default) while this forwarder is away is lost with Alloy; Fluent Bit keeps 2 GB a node on disk."
        ),
        (
            "Labels of the agents are kept as they are, and count against this forwarder's limit of streams: a stream "
            "for each container of each pod."
        ),
        "The name on the certificate is checked, the address is what is connected to: no DNS is needed in the cluster.",
    ),
    sources=(
        Source("grafana/alloy, docs/sources/collect/logs-in-kubernetes.md", "2026-08"),
        Source("grafana/alloy, operations/helm/charts/alloy/templates", "2026-08"),
        Source("fluent/fluent-bit-docs, pipeline/filters/kubernetes.md and outputs/loki.md", "2026-08"),
        Source("https://kubernetes.io/docs/concepts/cluster-administration/logging/", "2026-08"),
    ),
)
