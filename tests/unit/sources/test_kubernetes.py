"""Kubernetes manifests: valid by the published schemas, complete, and without the faults of those often copied."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from appliance.errors import UsageError
from appliance.sources.forwarder import Forwarder
from appliance.sources.kubernetes.manifests import NAME, WHY, Agent, as_yaml, kustomization, objects
from appliance.sources.kubernetes.review import review
from appliance.sources.kubernetes.target import TOKEN_PLACEHOLDER, Target, loki, this_forwarder

PEM = "-----BEGIN CERTIFICATE-----\nTUlJQ\n-----END CERTIFICATE-----\n"
AT = Forwarder("2001:db8::9", "fwd.example.org", push=3500, push_tls=True, push_token=True, authority=PEM)
PLAIN = Forwarder("192.0.2.9", "192.0.2.9", push=3500)
AGENTS: list[Agent] = ["alloy", "fluent-bit"]
OLD = Path(__file__).parent.parent / "data" / "old-box"


def by_kind(made: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in made}


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("at", [AT, PLAIN], ids=["tls", "plain"])
@pytest.mark.parametrize("version", ["1.25", "1.29", "1.33", "1.35"])
def test_every_object_is_valid_by_the_published_schemas(version: str, at: Forwarder, agent: Agent) -> None:
    for one in yaml.safe_load_all(as_yaml(objects(this_forwarder(at), agent))):
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_would_find_a_fault() -> None:
    broken = by_kind(objects(this_forwarder(AT)))["DaemonSet"]
    broken["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.33", strict=True)


@pytest.mark.parametrize("agent", AGENTS)
def test_the_set_is_complete_and_its_parts_refer_to_each_other(agent: Agent) -> None:
    made = objects(this_forwarder(AT), agent)
    assert [one["kind"] for one in made] == [
        "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "PriorityClass", "ConfigMap", "Secret",
        "DaemonSet",
    ]  # fmt: skip
    parts = by_kind(made)
    binding, pod = parts["ClusterRoleBinding"], parts["DaemonSet"]["spec"]["template"]["spec"]
    assert binding["roleRef"]["name"] == parts["ClusterRole"]["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (
        pod["serviceAccountName"],
        parts["Namespace"]["metadata"]["name"],
    )
    assert pod["priorityClassName"] == parts["PriorityClass"]["metadata"]["name"]
    names = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    assert names == {parts["ConfigMap"]["metadata"]["name"]}
    selector = parts["DaemonSet"]["spec"]["selector"]["matchLabels"].items()
    assert selector <= parts["DaemonSet"]["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("agent", AGENTS)
def test_the_agent_runs_on_every_node_and_may_only_read_its_logs(agent: Agent) -> None:
    pod = by_kind(objects(this_forwarder(AT), agent))["DaemonSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    for volume in pod["volumes"]:
        if "hostPath" in volume and not volume["hostPath"]["path"].startswith("/var/lib/forwarder-agent"):
            assert mounts[volume["name"]]["readOnly"] is True
    assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]
    assert container["readinessProbe"] and container["livenessProbe"]


def test_alloy_pushes_by_tls_with_its_token_and_checks_the_name() -> None:
    config = by_kind(objects(this_forwarder(AT)))["ConfigMap"]["data"]
    text = config["config.alloy"]
    assert 'url                 = "https://[2001:db8::9]:3500/loki/api/v1/push"' in text
    assert 'server_name = "fwd.example.org"' in text and 'ca_file     = "/etc/agent/ca.crt"' in text
    assert 'bearer_token_file   = "/etc/agent-secret/token"' in text and "max_backoff_retries = 0" in text
    assert config["ca.crt"] == PEM
    for label in ("namespace", "pod", "container", "node", "app", "job", "__path__"):
        assert f'target_label  = "{label}"' in text
    outside = "".join(part for number, part in enumerate(text.replace('\\"', "").split('"')) if number % 2 == 0)
    for opening, closing in ("{}", "[]", "()"):
        assert outside.count(opening) == outside.count(closing)


def test_fluent_bit_never_gives_up_keeps_its_queue_on_disk_and_labels_by_pod() -> None:
    text = by_kind(objects(this_forwarder(AT), "fluent-bit"))["ConfigMap"]["data"]["fluent-bit.yaml"]
    made = yaml.safe_load(text)
    (source,), (output,) = made["pipeline"]["inputs"], made["pipeline"]["outputs"]
    assert source["storage.type"] == "filesystem" and made["service"]["storage.path"]
    assert output["retry_limit"] == "no_limits"
    for label in ("namespace=$", "pod=$", "container=$", "node=$", "app=$"):
        assert label in output["labels"]
    assert (output["host"], output["port"], output["tls"]) == ("2001:db8::9", 3500, True)
    assert output["tls.vhost"] == "fwd.example.org" and output["bearer_token"] == "${FORWARDER_TOKEN}"
    # What is no label is the line: one key is left.
    allowed = next(entry for entry in made["pipeline"]["filters"] if entry["name"] == "record_modifier")
    removed = [key.strip() for key in output["remove_keys"].split(",")]
    assert set(allowed["allowlist_key"]) - set(removed) == {"log"}


@pytest.mark.parametrize("agent", AGENTS)
def test_without_tls_and_token_there_is_no_secret_and_no_authority(agent: Agent) -> None:
    parts = by_kind(objects(this_forwarder(PLAIN), agent))
    assert "Secret" not in parts and "ca.crt" not in parts["ConfigMap"]["data"]
    assert "tls" not in str(parts["ConfigMap"]["data"]) and "token" not in str(parts)


def test_a_token_that_is_not_known_is_asked_for_in_its_place() -> None:
    assert by_kind(objects(this_forwarder(AT)))["Secret"]["stringData"] == {"token": TOKEN_PLACEHOLDER}
    assert by_kind(objects(this_forwarder(AT, "abc")))["Secret"]["stringData"] == {"token": "abc"}


def test_a_loki_can_be_the_target() -> None:
    assert loki("https://loki.example.org") == Target(
        "https://loki.example.org/loki/api/v1/push", "loki.example.org", 443, "/loki/api/v1/push", tls=True
    )
    assert (loki("http://[2001:db8::1]:3100/x/").host, loki("http://h:3100/x/").path) == ("2001:db8::1", "/x")
    for url in ("loki:3100", "https://", "http://me:pw@h/", "http://h:0x/"):
        with pytest.raises(UsageError):
            loki(url)


def test_another_configuration_restarts_the_agents() -> None:
    def digest(at: Forwarder) -> Mapping[str, str]:
        template = by_kind(objects(this_forwarder(at)))["DaemonSet"]["spec"]["template"]
        annotations: Mapping[str, str] = template["metadata"]["annotations"]
        return annotations

    assert digest(AT) != digest(PLAIN) and digest(AT) == digest(AT)


@pytest.mark.parametrize("agent", AGENTS)
def test_kustomize_builds_the_same_objects(agent: Agent, tmp_path: Path) -> None:
    made = objects(this_forwarder(AT), agent)
    for name, text in kustomization(made).items():
        (tmp_path / name).write_text(text)
    listed = yaml.safe_load((tmp_path / "kustomization.yaml").read_text())["resources"]
    assert set(listed) | {"kustomization.yaml"} == {path.name for path in tmp_path.iterdir()}
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed here")
    done = subprocess.run([kubectl, "kustomize", tmp_path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    assert built == by_kind(made)


# ---- what was wrong -------------------------------------------------------------------------


def test_what_was_wrong_with_the_users_manifests_is_found_with_its_line() -> None:
    text = (OLD / "kubernetes.yaml").read_text()
    found = review(text, "kubernetes.yaml")
    said = " | ".join(fault for _, fault in found.faults)
    for part in ("Deployment with 3 replicas", "ConfigMap promtail-config, which", "(there is: promtail-conf)",
                 "without a ClusterRoleBinding", "service account promtail-serviceaccount is in none",
                 "no longer maintained", "/var/log of the node is mounted for writing"):  # fmt: skip
        assert part in said
    (config,) = found.configs
    lines = text.splitlines()
    assert lines[config.offset].strip() == "server:" and config.text.startswith("server:")
    for line, _ in found.faults:
        assert lines[line - 1].startswith("apiVersion")


def test_what_was_wrong_is_not_wrong_in_ours_and_is_explained_in_one_paragraph() -> None:
    for agent in AGENTS:
        made = as_yaml(objects(this_forwarder(AT), agent), WHY)
        assert review(made, "ours").faults == ()
    assert "\n" not in WHY
    for part in ("DaemonSet", "three replicas", "promtail-conf", "ClusterRoleBinding", "/var/log"):
        assert part in WHY


def test_what_is_no_yaml_is_refused() -> None:
    with pytest.raises(UsageError):
        review("a: [", "x.yaml")
    assert review("", "x.yaml").configs == ()


# ---- the command ----------------------------------------------------------------------------


def test_the_command_prints_what_kubectl_can_apply(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "appliance.cli.main", "sources", "kubernetes", "--address", "192.0.2.9"]
    done = subprocess.run([*command, "--manifests"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    made = by_kind(list(yaml.safe_load_all(done.stdout)))
    assert made["DaemonSet"]["metadata"]["name"] == NAME and "three replicas" in done.stdout
    direct = [*command[:-2], "--loki", "https://loki.example.org/loki/api/v1/push", "--agent", "fluent-bit"]
    done = subprocess.run([*direct, "--kustomize", str(tmp_path / "k")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "host: 'loki.example.org'" in (tmp_path / "k" / "configmap.yaml").read_text()
    again = subprocess.run([*direct, "--kustomize", str(tmp_path / "k")], capture_output=True, text=True, timeout=60)
    assert again.returncode == 2 and "not empty" in again.stderr
