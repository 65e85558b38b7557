"""From the header of a record to its stream: default labels, relabeling, and the guard.

Asked by the hot path once for each new combination of header fields, not for each message. Pure but
for the guard's memory of streams in use.
"""

import re
from typing import Protocol

from appliance.config import model
from appliance.relay.hot import (
    ROUTE_META_ROOM,
    Packer,
    Route,
    Tally,
    Target,
    encode_pair,
    parse_timestamp,
    valid_name,
)
from appliance.relay.labels.cardinality import Guard
from appliance.relay.parse import Record, header, read, structured, zones
from appliance.relay.parse.dialects import APPLICATIONS
from appliance.relay.parse.time_policy import TimePolicy

GRAFANA_LEVELS = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
SYSLOG_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
# Promtail's words (influxdata/go-syslog), for relabeling rules written for it.
SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug")
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
)  # fmt: skip
_META = "__syslog_"
_LONGEST_NAME = 255  # characters of a sender's name in the table of senders
_ADMITTED = 4096  # label sets of which the guard's answer is remembered
_REMEMBERED = 1024  # characters of labels; longer ones are looked at each time, for memory's sake


class Relabeling(Protocol):
    """What `relabel.compile_rules` returns."""

    @property
    def sources(self) -> frozenset[str] | None:
        """Return label names the rules can read; None for any."""

    def apply(self, labels: dict[str, str]) -> dict[str, str] | None:
        """Return the labels after all rules, or None when the entry is dropped."""


def _compile(rules: list[model.RelabelRule]) -> Relabeling | None:
    if not rules:
        return None
    from appliance.relay.labels.relabel import compile_rules  # loads RE2, which few need

    return compile_rules(rules)


class Resolver:
    """Answers the hot path's questions about one configuration."""

    def __init__(self, labels: model.Labels, time_policy: TimePolicy, guard: Guard) -> None:
        self._labels = labels
        self._levels = GRAFANA_LEVELS if labels.level == "grafana" else SYSLOG_LEVELS
        self._guard = guard
        self._time = time_policy
        self._relabel = _compile(labels.relabel_configs)
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._admitted: dict[tuple[tuple[str, str], ...], tuple[Target, dict[str, str]]] = {}
        self._salvage_routes: dict[tuple[int | str | bytes, ...], Route] = {}

    @property
    def wide_key(self) -> bool:
        """Return whether the rules read more of a header than priority, host and application."""
        if self._relabel is None:
            return False
        narrow = {"__syslog_message_hostname", "__syslog_message_app_name", "__syslog_message_severity"}
        narrow |= {"__syslog_message_facility", "host", "application", "level", "facility", *self._labels.static}
        sources = self._relabel.sources
        return sources is None or any(name not in narrow for name in sources)

    def forget(self) -> None:
        """Ask the guard again for every stream."""
        self._salvage_routes.clear()
        self._tallies.clear()
        self._admitted.clear()

    def resolve(
        self,
        pri: int,
        host: bytes,
        application: bytes,
        process: bytes,
        message_id: bytes,
        structured_data: bytes,
        sender: bytes,
        source: str,
    ) -> Route:
        """Return the route of records with this header; one without a target drops them."""
        fields = {
            "host": _text(host) or _text(sender),
            "application": _text(application),
            "level": self._levels[pri & 7],
            "facility": FACILITIES[pri >> 3],
        }
        tally = self._tally(fields["host"], source)
        labels: dict[str, str] = {**{name: fields[name] for name in self._labels.include}, **self._labels.static}
        if self._relabel is not None:
            meta = {
                "__syslog_message_hostname": _text(host),
                "__syslog_message_app_name": _text(application),
                "__syslog_message_proc_id": _text(process),
                "__syslog_message_msg_id": _text(message_id),
                "__syslog_message_severity": SEVERITIES[pri & 7],
                "__syslog_message_facility": FACILITIES[pri >> 3],
                "__syslog_connection_ip_address": _text(sender),
                "__syslog_connection_hostname": _text(sender),
                "__syslog_input": source,
                **structured_labels(structured_data),
            }
            relabeled = self._relabel.apply({**labels, **{name: value for name, value in meta.items() if value}})
            if relabeled is None:
                return Route(None, b"", tally)
            labels = {name: value for name, value in relabeled.items() if not name.startswith("__")}
        target, moved = self._admit(labels)
        metadata = self._labels.metadata
        if metadata.device and application in APPLICATIONS:
            vendor, product = APPLICATIONS[application]
            moved = {"vendor": vendor, "product": product, **moved}
        if metadata.facility and "facility" not in labels:
            moved = {"facility": fields["facility"], **moved}
        return Route(target, _encoded(moved), tally)

    def _tally(self, host: str, source: str) -> Tally:
        """Return what counts this sender's messages by this input."""
        key = (host[:_LONGEST_NAME], source)
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= self._packer.max_routes:
                self._tallies.clear()
            tally = self._tallies[key] = Tally(*key)
        return tally

    def _admit(self, labels: dict[str, str]) -> tuple[Target, dict[str, str]]:
        """Return what the guard says, remembered: many headers lead to the same labels."""
        key = tuple(labels.items())
        admitted = self._admitted.get(key)
        if admitted is None:
            if sum(map(len, labels.values())) > _REMEMBERED:
                return self._guard.admit(labels, self._packer.now_ns)
            if len(self._admitted) >= _ADMITTED:
                self._admitted.clear()
            admitted = self._admitted[key] = self._guard.admit(labels, self._packer.now_ns)
        return admitted

    def attach(self, packer: Packer) -> None:
        """Set up `packer` for this configuration, and answer its questions from now on."""
        self._packer = packer
        packer.resolver = self
        packer.forget_routes()
        metadata = self._labels.metadata
        packer.with_process = metadata.process_id
        packer.with_message_id = metadata.message_id
        packer.with_sender = metadata.sender
        packer.with_input = metadata.input
        packer.with_structured = metadata.structured_data
        packer.with_repairs = metadata.repairs
        packer.wide_key = self.wide_key
        packer.always_ask = self._time.always_ask
        packer.max_past = self._time.default.max_past
        packer.max_past_without_zone = self._time.default.max_past_without_zone
        packer.max_future = self._time.default.max_future

    def believe(self, stamp: int, received: int, has_zone: bool, sender: bytes, text: bytes) -> tuple[int, str]:
        """See `TimePolicy.believe`."""
        return self._time.believe(stamp, received, has_zone, sender, text)

    def can_be_host(self, name: bytes) -> bool:
        """Return whether the word after the time of a well-formed header is a host, not a zone or a severity."""
        return header.can_be_host(name) and not zones.behind(b" %b " % name, 0)[0]

    def salvage(
        self, record: bytes, sender: bytes, source: str, now_ns: int
    ) -> tuple[Route, int, bytes, list[tuple[bytes, bytes]], list[str]]:
        """Route, time (ns), text, metadata and repairs of a record that the compiled path leaves to `parse.read`."""
        found = read(record, now_ns / 1e9)
        words = list(found.words)
        route = self._salvage_route(found, sender, source)
        pairs: list[tuple[bytes, bytes]] = []
        metadata = self._labels.metadata
        if metadata.process_id and found.process != b"-":
            pairs.append((b"process_id", found.process))
        if metadata.message_id and found.message_id != b"-":
            pairs.append((b"message_id", found.message_id))
        if metadata.sender and sender:
            pairs.append((b"sender", sender))
        if metadata.input:
            pairs.append((b"input", source.encode()))
        if metadata.device and found.vendor and found.application not in APPLICATIONS:  # the route says those
            pairs.append((b"vendor", found.vendor.encode()))
            if found.product:
                pairs.append((b"product", found.product.encode()))
        if metadata.structured_data and found.structured_data:
            for element, name, value in structured.pairs(found.structured_data):
                pairs.append((valid_name(element + b"_" + name), value))
        stamp = parse_timestamp(found.stamp) if found.stamp else -1
        if stamp < 0:
            return route, now_ns, found.text, pairs, words
        believed, word = self._time.believe(stamp, now_ns, found.has_zone, sender, found.stamp)
        if word:
            words.append(word)
            if metadata.repairs:
                pairs.append((b"original_timestamp", found.stamp))
        return route, believed, found.text, pairs, words

    def _salvage_route(self, found: Record, sender: bytes, source: str) -> Route:
        """Return the route of such a record, remembered by whatever decides about its labels."""
        wide = (found.process, found.message_id, found.structured_data) if self._packer.wide_key else ()
        key = (found.priority, found.host, found.application, sender, source, *wide)
        route = self._salvage_routes.get(key)
        if route is None:
            route = self.resolve(
                found.priority,
                found.host,
                found.application,
                found.process,
                found.message_id,
                found.structured_data,
                sender,
                source,
            )
            if sum(map(len, wide)) > _REMEMBERED:
                return route
            if len(self._salvage_routes) >= self._packer.max_routes:
                self._salvage_routes.clear()
            self._salvage_routes[key] = route
        return route


def structured_labels(structured_data: bytes) -> dict[str, str]:
    """`__syslog_message_sd_<id>_<name>` of well-formed structured data, as Promtail names them."""
    labels = {}
    for element in re.finditer(rb'\[([^ =\]"]+)((?: [^ =\]"]+="(?:[^"\\]|\\.)*")*)\]', structured_data):
        for name, value in re.findall(rb' ([^ =\]"]+)="((?:[^"\\]|\\.)*)"', element[2]):
            label = valid_name(element[1] + b"_" + name).decode()
            text = value.replace(b'\\"', b'"').replace(b"\\]", b"]").replace(b"\\\\", b"\\")
            labels[f"{_META}message_sd_{label}"] = text.decode("utf-8", "replace")
    return labels


def _encoded(moved: dict[str, str]) -> bytes:
    """Labels that became metadata, as fields of an entry; beyond the room for them they are left out, and that is said.

    Only rules that make labels of whatever a sender writes (labelmap) come so far.
    """
    pairs = bytearray()
    for number, (name, value) in enumerate(moved.items()):
        pair = encode_pair(name.encode(), value.encode())
        if len(pairs) + len(pair) > ROUTE_META_ROOM - 64:
            return bytes(pairs + encode_pair(b"labels_left_out", b"%d" % (len(moved) - number)))
        pairs += pair
    return bytes(pairs)


def _text(field: bytes) -> str:
    """Return a header field as text; empty for the nil value `-`."""
    return "" if field == b"-" else field.decode("utf-8", "replace")
