"""Which labels lines got from Promtail, and which they get here, side by side for lines of usual senders.

Both are computed with the relay's own relabeling, which is Prometheus'. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.config.model import RelabelRule
from appliance.config.model_labels import Labels
from appliance.relay.labels.relabel import compile_rules


@dataclass(frozen=True, slots=True)
class Sample:
    """The header of a line, as Promtail and the relay see it."""

    title: str
    hostname: str
    app_name: str
    severity: str
    facility: str
    sender: str
    proc_id: str = ""
    level: str = "info"  # in Grafana's words


SAMPLES = (
    Sample("Linux, sshd", "web1", "sshd", "informational", "authpriv", "192.0.2.21", "812"),
    Sample("VyOS, kernel", "vyos-paris", "kernel", "warning", "kern", "192.0.2.1", level="warning"),
    Sample("XCP-ng, xapi", "xcp1", "xapi", "debug", "local5", "192.0.2.11", level="debug"),
    Sample("TrueNAS, smbd", "nas1", "smbd", "error", "daemon", "192.0.2.31", "4431", level="error"),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One line's labels before and now; None where it was or is dropped."""

    title: str
    before: Mapping[str, str] | None
    now: Mapping[str, str] | None

    @property
    def same(self) -> bool:
        """Return whether the line lands in the same stream as before."""
        return self.before == self.now


def compare(
    static: Mapping[str, str], rules: Sequence[RelabelRule], labels: Labels, source: str, *, behind_rsyslog: bool
) -> list[Compared]:
    """Return the labels of each sample by Promtail's job (its static labels and rules) and by our configuration.

    `source` is the name of our input that the lines come by now; `behind_rsyslog` says that Promtail
    had them from an rsyslog on the same machine, so that each line came from 127.0.0.1.
    """
    old, new = compile_rules(rules), compile_rules(labels.relabel_configs)
    rows = []
    for sample in SAMPLES:
        peer = ("127.0.0.1", "localhost") if behind_rsyslog else (sample.sender, sample.hostname)
        before = old.apply({**static, **_meta(sample, *peer)})
        fields = {
            "host": sample.hostname,
            "application": sample.app_name,
            "level": sample.level,
            "facility": sample.facility,
        }
        own = {name: fields[name] for name in labels.include} | labels.static
        now = new.apply({**own, **_meta(sample, sample.sender, sample.sender), "__syslog_input": source})
        rows.append(Compared(sample.title, _public(before), _public(now)))
    return rows


def _meta(sample: Sample, address: str, hostname: str) -> dict[str, str]:
    names = {
        "__syslog_message_hostname": sample.hostname,
        "__syslog_message_app_name": sample.app_name,
        "__syslog_message_proc_id": sample.proc_id,
        "__syslog_message_severity": sample.severity,
        "__syslog_message_facility": sample.facility,
        "__syslog_connection_ip_address": address,
        "__syslog_connection_hostname": hostname,
    }
    return {name: value for name, value in names.items() if value}


def _public(labels: Mapping[str, str] | None) -> dict[str, str] | None:
    if labels is None:
        return None
    return {name: value for name, value in labels.items() if not name.startswith("__") and value}
