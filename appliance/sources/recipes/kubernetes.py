"""Kubernetes: agents on each node push the pods' logs as they would to Loki."""

from collections.abc import Iterator

from appliance.sources.agents import alloy_write, fluent_bit_output
from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.push is None:
        return
    write = alloy_write(at, token_file="/etc/alloy-secrets/token", ca_file="/etc/alloy-secrets/ca.crt")
    yield Variant("Grafana Alloy, its output", "push", write, language="alloy")
    labels = "job=kubernetes, namespace=$kubernetes['namespace_name'], pod=$kubernetes['pod_name']"
    output = fluent_bit_output(at, "kube.*", labels, token="${FORWARDER_TOKEN}", ca_file="/secrets/ca.crt")
    yield Variant("Fluent Bit, its output", "push", ("  outputs:", *output), language="yaml")


KIND = Kind(
    name="kubernetes",
    title="Kubernetes",
    summary="Agents in the cluster push as they would to Loki.",
    transports=("push",),
    variants=_variants,
    check=("Here `appliance status` shows the nodes as senders.",),
    traps=("Labels of the agents are kept as they are; the guard on streams counts them too.",),
    sources=(Source("grafana/alloy, docs/sources/reference/components/loki/loki.write.md", "2026-08"),),
)
