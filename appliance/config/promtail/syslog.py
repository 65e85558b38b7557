"""Promtail's syslog jobs read, and put together as our listeners, labels and rules."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from appliance.config.promtail.notes import UNRESOLVED, Draft, Fate
from appliance.config.promtail.relabel import Rule, label_for, only_for, read_rules
from appliance.config.promtail.stages import stages
from appliance.config.promtail.tree import Tree

PRIVILEGED = 1024
"""Ports below this one are rsyslog's or the receiver's: the confined relay may not bind them."""


@dataclass(slots=True)
class Job:
    """A syslog job: where it listened, and the labels and rules that its lines got."""

    tree: Tree
    protocol: Literal["tcp", "udp"] = "tcp"
    host: str = ""
    port: int = 0
    tls: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    extra_rules: list[dict[str, Any]] = field(default_factory=list)
    label_structured_data: bool = False
    inputs: tuple[str, ...] = ()  # the names of our inputs that its lines come by now


def read_job(draft: Draft, tree: Tree) -> Job:
    """Return a syslog job, with what is the same for all jobs already put into the draft."""
    job = Job(tree)
    for key, child in tree.items():
        match key:
            case "syslog":
                _syslog(draft, child, job)
            case "relabel_configs":
                job.rules = read_rules(draft, child)
            case "pipeline_stages":
                stages(draft, child, job.labels, job.extra_rules)
            case "job_name":
                child.text()
            case _:
                draft.note(child, "not carried over: no counterpart")
    return job


def _syslog(draft: Draft, tree: Tree, job: Job) -> None:
    settings = dict(tree.items())
    if (protocol := settings.pop("listen_protocol", None)) is not None and protocol.text() == "udp":
        job.protocol = "udp"
    if (address := settings.pop("listen_address", None)) is not None:
        host, _, port = address.text().rpartition(":")
        job.host, job.port = host, int(port) if port.isdigit() and len(port) < 6 else 0
    incoming = settings.pop("use_incoming_timestamp", None)
    _timestamp(draft, tree, incoming)
    if "idle_timeout" not in settings and job.protocol == "tcp" and not draft.has("relay.connections.idle_timeout"):
        draft.set("relay.connections.idle_timeout", "120s")
        text = "idle_timeout was not set, which was 120s, and is written out; our default is 600s"
        draft.remark(tree, text, Fate.TAKEN, "idle_timeout")
    if "max_message_length" not in settings:
        text = "max_message_length was not set: 8192 bytes closed the connection, here up to 256KiB are taken"
        draft.remark(tree, text, Fate.CHANGED, "max_message_length")
    for key, child in settings.items():
        _setting(draft, key, child, job)


def _timestamp(draft: Draft, tree: Tree, incoming: Tree | None) -> None:
    """Promtail stamps lines with their arrival unless told otherwise; here one setting is for all of them."""
    wanted = "message" if incoming is not None and incoming.flag() else "received"
    texts = {
        "received": "entries get the time of receipt as before; timestamp: message is our default",
        "message": "is relay.time.timestamp: message, our default",
    }
    text, fate = texts[wanted], Fate.TAKEN
    if draft.has("relay.time.timestamp") and draft.made["relay"]["time"]["timestamp"] != wanted:
        text, fate = f"wanted {wanted}, but another job has set relay.time.timestamp for all", Fate.CHANGED
    else:
        draft.set("relay.time.timestamp", wanted)
    if incoming is not None:
        draft.note(incoming, text, fate)
    else:
        draft.remark(tree, text, fate, "use_incoming_timestamp")


def _setting(draft: Draft, key: str, tree: Tree, job: Job) -> None:
    match key:
        case "idle_timeout":
            draft.put("relay.connections.idle_timeout", tree.text(), tree)
        case "max_message_length":
            draft.put("relay.connections.max_message", tree.text(), tree)
        case "labels":
            _labels(draft, tree, job)
        case "label_structured_data":
            job.label_structured_data = tree.flag()
            text = "structured data becomes structured metadata, and __syslog_message_sd_* for rules, as before"
            draft.note(tree, text, Fate.TAKEN)
        case "tls_config":
            _tls(draft, tree, job)
        case "syslog_format":
            draft.note(tree, f"{tree.text()} and the other form are both read, message by message", Fate.TAKEN)
        case "use_rfc5424_message":
            if tree.flag():
                draft.note(tree, "not carried over: an entry is the message, the rest is labels and metadata")
        case _:
            draft.note(tree, "not carried over: no counterpart")


def _tls(draft: Draft, tree: Tree, job: Job) -> None:
    files = {name: child for name, child in tree.items() if name in ("cert_file", "key_file", "ca_file")}
    if not {"cert_file", "key_file"} <= set(files):
        draft.note(tree, "not carried over: TLS needs cert_file and key_file; listeners.tls makes its own")
        return
    for name, child in files.items():
        job.tls[name] = child.text()
        draft.note(child, f"is listeners.tls.tls.{name}", Fate.TAKEN)


def _labels(draft: Draft, tree: Tree, job: Job) -> None:
    for name, child in tree.items():
        value = child.text()
        if UNRESOLVED.search(value):
            draft.unresolved(child, value)
        else:
            job.labels[name] = value
            draft.note(child, "is labels.static", Fate.TAKEN)


# ---- put together ---------------------------------------------------------------------------


def place(draft: Draft, jobs: Sequence[Job]) -> None:
    """Open a listener for each job; one that has no place left is noted."""
    for job in jobs:
        if not job.port:
            draft.note(job.tree, "not carried over: it has no port to listen on")
            continue
        tree = job.tree["syslog"]["listen_address"]
        if job.tls:
            _place_tls(draft, job, tree)
        elif job.protocol == "udp":
            _place_own(draft, job, tree, "udp")
        elif job.port >= PRIVILEGED and not draft.has("relay.listen.syslog_tcp"):
            draft.put("relay.listen.syslog_tcp", f"{job.host}:{job.port}", tree)
            job.inputs += ("syslog_tcp",)
        else:
            _place_own(draft, job, tree, "tcp")
        if job.inputs:
            text = f"a syslog job; its lines come by {' and '.join(job.inputs)}"
            draft.remark(job.tree, text, Fate.TAKEN)


def _place_own(draft: Draft, job: Job, tree: Tree, name: Literal["tcp", "udp"]) -> None:
    """Put a job on listeners.tcp or listeners.udp, which may have any port."""
    shared = draft.made["relay"].get("listen", {}).get("syslog_tcp", "")
    if name == "tcp" and shared.endswith(f":{job.port}"):
        text = "is the listener of another job, whose labels and rules its lines get, too"
        draft.note(tree, text, Fate.CHANGED)
        job.inputs += ("syslog_tcp",)
        return
    if draft.has(f"listeners.{name}.port"):
        if draft.made["listeners"][name]["port"] != job.port:
            text = f"not carried over: listeners.{name} has one port, {draft.made['listeners'][name]['port']}"
            draft.note(tree, f"{text}; let the senders of {job.port} send there")
        else:
            draft.note(tree, f"is listeners.{name}, which another listener shares", Fate.TAKEN)
            job.inputs += (name,)
        return
    draft.set(f"listeners.{name}.port", job.port)
    if job.host not in ("", "0.0.0.0", "::", "[::]"):
        draft.set(f"listeners.{name}.address", job.host.strip("[]"))
    why = " (the confined relay cannot bind a port below 1024)" if job.port < PRIVILEGED and name == "tcp" else ""
    draft.note(tree, f"is listeners.{name}{why}", Fate.TAKEN)
    job.inputs += (name,)


def _place_tls(draft: Draft, job: Job, tree: Tree) -> None:
    if draft.has("listeners.tls"):
        draft.note(tree, "not carried over: listeners.tls has one port, and another job has it")
        return
    tls: dict[str, Any] = {"cert_file": job.tls["cert_file"], "key_file": job.tls["key_file"]}
    if job.tls.get("ca_file"):
        tls |= {"ca_file": job.tls["ca_file"], "client_certificates": "ca"}
    draft.set("listeners.tls", {"port": job.port, "tls": tls})
    draft.note(tree, "is listeners.tls; its files must be readable by rsyslog", Fate.TAKEN)
    job.inputs += ("tls",)


def label(draft: Draft, jobs: Sequence[Job], more: dict[str, str]) -> None:
    """Write static labels and rules: once when all jobs have the same, else each for its own inputs."""
    made = draft.made["labels"]
    made["include"] = []
    made["static"] = dict(more)
    if not jobs:
        return
    first = jobs[0]
    plain = [rule.made for rule in first.rules] + first.extra_rules
    if all(_same(job, first) for job in jobs):
        made["static"] |= first.labels
        rules = plain
    elif _share_inputs(jobs):
        rules = _union(draft, jobs, made["static"])
    else:
        rules = _each_for_its_own(draft, jobs, made["static"])
    if rules:
        made["relabel_configs"] = rules
    text = "only the labels that Promtail made are made; labels.include adds host, application, level"
    draft.remark(first.tree, text, Fate.TAKEN)


def _same(one: Job, other: Job) -> bool:
    return (one.labels, _made(one), one.extra_rules) == (other.labels, _made(other), other.extra_rules)


def _share_inputs(jobs: Sequence[Job]) -> bool:
    taken = [name for job in jobs for name in job.inputs]
    return len(taken) != len(set(taken)) or any(not job.inputs for job in jobs)


def _union(draft: Draft, jobs: Sequence[Job], static: dict[str, str]) -> list[dict[str, Any]]:
    """Return all jobs' rules for all lines: they come by the same listener, so nothing tells them apart."""
    rules: list[dict[str, Any]] = []
    for number, job in enumerate(jobs):
        for name, value in job.labels.items():
            if static.setdefault(name, value) != value:
                text = f"not carried over: label {name}={value}; lines by the same listener have {name}={static[name]}"
                draft.note(job.tree, text)
        new = [rule for rule in job.rules if rule.made not in rules]
        if number and new:
            text = "its lines come by the listener of another job: all of them get the labels of both"
            draft.note(job.tree, text, Fate.CHANGED)
        rules += [rule.made for rule in new] + [rule for rule in job.extra_rules if rule not in rules]
    return rules


def _each_for_its_own(draft: Draft, jobs: Sequence[Job], static: dict[str, str]) -> list[dict[str, Any]]:
    """Make labels that all jobs share static; return rules that look at the input for the others."""
    rules: list[dict[str, Any]] = []
    shared = dict(set(jobs[0].labels.items()).intersection(*(job.labels.items() for job in jobs[1:])))
    static |= {name: value for name, value in jobs[0].labels.items() if name in shared}
    everywhere = [rule.made for rule in jobs[0].rules if all(rule.made in _made(job) for job in jobs)]
    rules += everywhere
    for job in jobs:
        inputs = "|".join(job.inputs)
        rules += [label_for(name, value, inputs) for name, value in job.labels.items() if name not in shared]
        conditional = [only_for(draft, rule, inputs) for rule in job.rules if rule.made not in everywhere]
        rules += [rule.made for rule in conditional if rule is not None]
        for rule in job.extra_rules:
            draft.note(job.tree, f"{rule['action']} counts for the lines of the other jobs, too", Fate.CHANGED)
            rules.append(rule)
    return rules


def _made(job: Job) -> list[dict[str, Any]]:
    return [rule.made for rule in job.rules]
