"""From Promtail's files to one appliance.yaml: reads the jobs, puts them together, checks what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from appliance.config.load import parse
from appliance.config.problems import ConfigError
from appliance.config.promtail.client import clients, server
from appliance.config.promtail.expand import expand
from appliance.config.promtail.notes import Draft, Fate, Note
from appliance.config.promtail.other_jobs import PodsJob, pods, push_api, push_for_pods, unknown
from appliance.config.promtail.rsyslog_file import feed, read_rsyslog
from appliance.config.promtail.syslog import Job, label, place, read_job
from appliance.config.promtail.tree import Tree, read_tree
from appliance.errors import UsageError

_SAID_BY_DESIGN = {
    "positions": "not needed: the spool is the relay's memory",
    "limits_config": "the relay's bounds are labels.guard and relay.connections",
    "target_config": "there are no files to look for",
    "tracing": "the relay does not trace",
    "options": "no counterpart",
    "global": "no counterpart",
}
_NOT_NEEDED = frozenset(("positions", "target_config"))


@dataclass(frozen=True, slots=True)
class Text:
    """A file's text, its name, and the line that it begins after when it stands within another file."""

    text: str
    source: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """What there is to convert."""

    promtail: Sequence[Text]
    rsyslog: Sequence[Text] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    http_address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came of it: our text, what became of each setting, what is still wrong, and what is for an agent."""

    text: str
    notes: list[Note]
    problems: ConfigError | None
    jobs: list[Job] = field(default_factory=list)
    pods: list[PodsJob] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)

    def of(self, fate: Fate) -> list[Note]:
        """Return the notes about settings that had this fate."""
        return [note for note in self.notes if note.fate is fate]


def convert(text: str) -> Conversion:
    """Convert the text of one Promtail configuration. Raise UsageError when it is none."""
    return convert_all(Given([Text(text)]))


def convert_all(given: Given) -> Conversion:
    """Convert Promtail's files and what fed them into one configuration. Raise UsageError for what is none."""
    draft, jobs, pods_jobs = Draft(), list[Job](), list[PodsJob]()
    labels: dict[str, str] = {}
    for file in given.promtail:
        expanded = expand(file.text, given.environment)
        draft.notes += [Note(line + file.offset, "", said, Fate.CHANGED, file.source) for line, said in expanded.notes]
        tree = read_tree(expanded.text, file.source, file.offset)
        if not {"clients", "client", "scrape_configs"} & set(tree.keys()):
            raise UsageError("this is not Promtail's configuration", hint="it has neither clients nor scrape_configs")
        _top(draft, tree, given, labels, jobs, pods_jobs)
    fed_before = bool(given.rsyslog)
    for file in given.rsyslog:
        feed(draft, read_rsyslog(file.text, file.source), jobs)
    place(draft, jobs)
    label(draft, jobs, labels)
    for found in pods_jobs[:1]:
        push_for_pods(draft, found.tree)
    _say_514_is_closed(draft, jobs, fed_before)
    _finish(draft)
    result = yaml.safe_dump(draft.made, sort_keys=False, allow_unicode=True, width=110)
    problems: ConfigError | None = None
    try:
        parse(result, source="what came of it")
    except ConfigError as error:
        problems = error
    notes = sorted(draft.notes, key=lambda note: (note.source, note.line))
    return Conversion(result, notes, problems, jobs, pods_jobs, draft.made)


def _top(
    draft: Draft, tree: Tree, given: Given, labels: dict[str, str], jobs: list[Job], pods_jobs: list[PodsJob]
) -> None:
    elsewhere = draft.has("loki.url")
    for key, child in sorted(tree.items(), key=lambda item: item[0] == "scrape_configs"):
        match key:
            case "server":
                server(draft, child, given.http_address)
            case "clients" | "client":
                clients(draft, child, labels, elsewhere=elsewhere)
            case "scrape_configs":
                for job in child.list():
                    _job(draft, job, jobs, pods_jobs)
            case _:
                said = _SAID_BY_DESIGN.get(key, "no counterpart")
                if key in _NOT_NEEDED:
                    draft.note(child, said, Fate.TAKEN)
                else:
                    draft.note(child, f"not carried over: {said}")
    for left in tree.unread():
        draft.note(left, "not carried over: no counterpart")


def _job(draft: Draft, job: Tree, jobs: list[Job], pods_jobs: list[PodsJob]) -> None:
    kinds = [key for key, _ in job.items() if key not in ("job_name", "relabel_configs", "pipeline_stages")]
    if "syslog" in kinds:
        jobs.append(read_job(draft, job))
    elif "loki_push_api" in kinds:
        push_api(draft, job)
    elif "kubernetes_sd_configs" in kinds:
        pods_jobs.append(pods(draft, job))
    else:
        unknown(draft, job, kinds)


def _say_514_is_closed(draft: Draft, jobs: Sequence[Job], fed: bool) -> None:
    """Devices send to port 514 unless told otherwise; on the old box rsyslog had it, Promtail had not."""
    open_ports = {settings.get("port") for settings in draft.made.get("listeners", {}).values()}
    if not jobs or 514 in open_ports:
        return
    where = "the rsyslog file does not open it either" if fed else "on the old box rsyslog had it: give its file, too"
    tree = jobs[0].tree
    text = (
        f"PORT 514 IS CLOSED: devices that send there reach nothing; {where} (--rsyslog FILE), "
        "or write listeners: {udp: {}, tcp: {}}"
    )
    draft.remark(tree, text, Fate.ACTION)


def _finish(draft: Draft) -> None:
    """Leave out what is empty; make labels where Promtail made none, which Loki refuses."""
    labels = draft.made["labels"]
    if not labels.get("static") and not labels.get("relabel_configs"):
        text = "no label was made, and Loki wants one: the relay makes its own, as by default"
        draft.notes.append(Note(1, "", text, Fate.CHANGED))
        labels.pop("static", None)
        labels.pop("include", None)
    draft.made = {key: value for key, value in draft.made.items() if value}
    if "loki" in draft.made and "url" in draft.made["loki"]:
        # The URL comes first in what we write.
        draft.made["loki"] = {"url": draft.made["loki"]["url"], **draft.made["loki"]}
