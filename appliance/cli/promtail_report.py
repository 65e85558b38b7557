"""The report of `appliance import-promtail`, as text: what became of each setting, and of the labels of lines."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from appliance.config.promtail import Conversion, Fate

if TYPE_CHECKING:
    from appliance.config.promtail.syslog import Job

_CAPTIONS = {
    Fate.ACTION: "TO DO",
    Fate.UNSUPPORTED: "NOT SUPPORTED",
    Fate.CHANGED: "CHANGED MEANING",
    Fate.TAKEN: "TAKEN OVER",
}


def report(conversion: Conversion, faults: Sequence[tuple[str, int, str]] = ()) -> str:
    """Return the whole report; `faults` are what manifests have wrong, each with its file and line."""
    return "\n".join([*_notes(conversion), *_manifests(faults), *_labels(conversion)]).rstrip() + "\n"


def _manifests(faults: Sequence[tuple[str, int, str]]) -> Iterator[str]:
    if faults:
        yield f"WRONG IN THE MANIFESTS ({len(faults)}), corrected in those of --manifests-output"
        yield from (f"  {name}: line {line}: {fault}" for name, line, fault in faults)
        yield ""


def _notes(conversion: Conversion) -> Iterator[str]:
    for fate, caption in _CAPTIONS.items():
        notes = conversion.of(fate)
        yield f"{caption} ({len(notes)})"
        for note in notes:
            yield f"  {note.source or 'the file'}: {note}"
        yield ""


def _labels(conversion: Conversion) -> Iterator[str]:
    if conversion.problems is not None or not conversion.jobs:
        return
    yield "LABELS OF SAMPLE LINES, before and now"
    for job in conversion.jobs:
        yield from _job(conversion, job)


def _job(conversion: Conversion, job: "Job") -> Iterator[str]:
    from appliance.config.load import parse
    from appliance.config.model import RelabelRule
    from appliance.sources.label_comparison import compare

    labels = parse(conversion.text).config.labels
    rules = [RelabelRule(**rule) for rule in [*(rule.made for rule in job.rules), *job.extra_rules]]
    # Rsyslog's inputs that feed a job stand first; its own listener is the last one.
    rsyslog = [name for name in job.inputs if name != "syslog_tcp" or len(job.inputs) == 1]
    source = rsyslog[0] if rsyslog else "syslog_tcp"
    fed = len(job.inputs) > 1
    where = f"{job.tree.source or 'the file'}, line {job.tree.line}"
    yield f"  job in {where}, by {source}" + (" (before: by rsyslog on the same machine)" if fed else "")
    for row in compare(job.labels, rules, labels, source, behind_rsyslog=fed):
        if row.same:
            yield f"    {row.title:16}same    {_shown(row.now)}"
        else:
            yield f"    {row.title:16}before  {_shown(row.before)}"
            yield f"    {'':16}now     {_shown(row.now)}"


def _shown(labels: object) -> str:
    if not isinstance(labels, dict):
        return "dropped"
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"
