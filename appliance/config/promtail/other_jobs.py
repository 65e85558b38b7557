"""Promtail's jobs that are no syslog: the push API, pods of Kubernetes, and what stays with an agent."""

from dataclasses import dataclass, field

from appliance.config.promtail.notes import Draft, Fate
from appliance.config.promtail.relabel import Rule, read_rule
from appliance.config.promtail.tree import Tree


@dataclass(slots=True)
class PodsJob:
    """A job that read pods: the rules over `__meta_kubernetes_*` that an agent on each node has to keep."""

    tree: Tree
    rules: list[Rule] = field(default_factory=list)
    multiline: bool = False


TOKEN_FILE = "/etc/appliance/secrets/kubernetes"


def push_api(draft: Draft, job: Tree) -> None:
    """Open the relay's push listener where Promtail had one; a second one is noted."""
    server = job["loki_push_api"]
    port, host = "3500", "0.0.0.0"
    for key, child in server.items():
        if key == "server":
            for name, setting in child.items():
                if name == "http_listen_port":
                    port = setting.text()
                elif name == "http_listen_address":
                    host = setting.text() or host
                else:
                    draft.note(setting, "not carried over: no counterpart")
        elif key == "labels":
            draft.note(child, "not carried over: pushed streams keep the labels that they come with")
        elif key == "use_incoming_timestamp":
            draft.note(child, "pushed entries keep the time that they come with", Fate.CHANGED)
        else:
            draft.note(child, "not carried over: no counterpart")
    for key in ("relabel_configs", "pipeline_stages"):
        if key in job:
            draft.note(job[key], "not carried over: pushed streams keep the labels that they come with")
    if draft.has("relay.listen.push"):
        where = draft.made["relay"]["listen"]["push"]
        draft.note(job, f"not carried over: there is one push listener, {where}; let the clients of {port} push there")
        return
    draft.set("relay.listen.push", f"{host}:{port}")
    draft.remark(job, "is relay.listen.push", Fate.TAKEN)
    if not host.startswith("127.") and host not in ("localhost", "::1"):
        draft.set("relay.push.anyone", True)
        text = (
            "anyone who can reach it may push, as before; better list relay.push.clients and remove relay.push.anyone"
        )
        draft.remark(job, text, Fate.ACTION)


def push_for_pods(draft: Draft, job: Tree) -> None:
    """Open the push listener for the agents on the nodes, over TLS and with a token, unless it is open already."""
    if draft.has("relay.listen.push"):
        return
    draft.set("relay.listen.push", "0.0.0.0:3500")
    draft.set("relay.push", {"tls": {}, "clients": [{"name": "kubernetes", "token_file": TOKEN_FILE}]})
    text = (
        f"relay.listen.push was opened for the agents; make their token: appliance token new kubernetes ({TOKEN_FILE})"
    )
    draft.remark(job, text, Fate.ACTION)


def pods(draft: Draft, job: Tree) -> PodsJob:
    """Read a job with kubernetes_sd_configs; it is for an agent on each node, not for this forwarder."""
    found = PodsJob(job)
    for key, child in job.items():
        match key:
            case "relabel_configs":
                found.rules = _pod_rules(draft, child)
            case "pipeline_stages":
                for stage in child.list():
                    for name, setting in stage.items():
                        _pod_stage(draft, name, setting, found)
            case "kubernetes_sd_configs":
                _discovery(draft, child)
            case "job_name":
                child.text()
            case _:
                draft.note(child, "not carried over: no counterpart")
    text = "pods are read by an agent on each node, which pushes here: the manifests of --manifests-output"
    draft.remark(job, text, Fate.CHANGED)
    return found


def _discovery(draft: Draft, tree: Tree) -> None:
    for one in tree.list():
        for key, child in one.items():
            if key == "role" and child.text() == "pod":
                draft.note(child, "is the agent's discovery of the pods of its own node", Fate.TAKEN)
            else:
                draft.note(child, f"not carried over: {key}; the agent reads all pods of its node")


def _pod_rules(draft: Draft, tree: Tree) -> list[Rule]:
    rules = []
    for rule in tree.list():
        made = read_rule(draft, rule)
        target = made.get("target_label")
        if target == "__path__":
            draft.note(rule, "the agent makes the path of a container's log from the pod's uid itself", Fate.TAKEN)
        elif target == "__host__":
            draft.note(rule, "the agent asks for the pods of its own node only", Fate.TAKEN)
        else:
            draft.note(rule, "is a rule of the agent", Fate.TAKEN)
            rules.append(Rule(made, rule))
    return rules


def _pod_stage(draft: Draft, name: str, tree: Tree, job: PodsJob) -> None:
    if name in ("docker", "cri"):
        draft.note(tree, "the agent reads both forms, whichever the node's runtime writes", Fate.TAKEN)
    else:
        draft.note(tree, f"not carried over: stage {name}; write it into the agent's configuration")


def unknown(draft: Draft, job: Tree, kinds: list[str]) -> None:
    """Note a job that reads something else."""
    what = ", ".join(kinds) or "nothing"
    hint = "leave it to Alloy there, and let it push to relay.listen.push"
    draft.note(job, f"not carried over: reads {what}, which is not syslog; {hint}")
