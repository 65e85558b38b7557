"""The values that `/status` answers with, as documented types, and what of them is a problem.

A stable interface: the command line, the dashboard and scripts read them. Keys may be added, not
renamed. Units: bytes, seconds, Unix seconds for moments; counters are since the relay's start.
Nothing here looks at the running relay: status.py fills these in.
"""

from collections.abc import Iterable, Mapping

import msgspec

from appliance.config import model
from appliance.relay.report.receiver import ReceiverStatus, receiver_problems


class Problem(msgspec.Struct):
    """A problem: `part` is a word of a closed set, `remedy` a sentence of what to do."""

    part: str
    problem: str
    remedy: str


class InputStatus(msgspec.Struct):
    """One way in: relp, syslog_tcp, push, or what rsyslog took by udp, tcp, tls, relp_in, relp_tls, journal."""

    messages: int = 0
    bytes: int = 0
    connections: int = 0
    messages_per_second_10s: float = 0.0
    messages_per_second_60s: float = 0.0


class QueueStatus(msgspec.Struct):
    """The spool: what is on disk and not yet taken by Loki. `room_bytes` more fit before it is full."""

    batches: int = 0
    entries: int = 0
    bytes: int = 0
    max_bytes: int = 0
    fill_ratio: float = 0.0
    oldest_age: float = 0.0
    oldest_entry: float | None = None
    free_bytes: int = 0
    room_bytes: int = 0
    when_full: str = "block"
    full: bool = False
    full_reason: str = ""
    blocked_since: float | None = None
    set_aside: int = 0
    last_sync_seconds: float = 0.0
    acknowledgements_held: bool = False


class DeadLettersStatus(msgspec.Struct):
    """Entries that Loki refuses for good, kept beside the spool; `given_up` are the oldest ones, beyond the bound.

    `unwritten` wait in memory, as the disk does not take them.
    """

    kept: int = 0
    given_up: int = 0
    unwritten: int = 0
    max_bytes: int = 0
    path: str = ""
    by_reason: dict[str, int] = {}
    """Those that are on disk now, whenever they came."""
    retrying: int = 0
    """Chosen to be sent again, and not in the spool yet."""


class ErrorStatus(msgspec.Struct):
    when: float
    cause: str
    remedy: str


class LokiStatus(msgspec.Struct):
    """`state`: ok, waiting (will try again), held (needs a change of configuration), idle (nothing sent yet).

    `pushes` are requests made; `entries` and `bytes` (uncompressed) what Loki took. `clock_skew`: seconds that
    Loki's clock is ahead of this one, by the Date of its answers; `held_for_clock`: entries that wait for it.
    """

    state: str = "idle"
    url: str = ""
    tenant: str = ""
    last_success: float | None = None
    last_error: ErrorStatus | None = None
    pushes: int = 0
    entries: int = 0
    bytes: int = 0
    entries_per_second_10s: float = 0.0
    entries_per_second_60s: float = 0.0
    retries: int = 0
    status_codes: dict[str, int] = {}
    rate_limited: dict[str, int] = {}
    rejected: dict[str, int] = {}
    dead_lettered: dict[str, int] = {}
    held_streams: int = 0
    in_flight: int = 0
    clock_skew: float | None = None
    held_for_clock: int = 0


class StreamsStatus(msgspec.Struct):
    active: int = 0
    limit: int = 0
    overflowed: int = 0
    values_overflowed: dict[str, int] = {}


class SourceStatus(msgspec.Struct):
    sender: str
    input: str
    messages: int
    messages_per_second: float
    first_seen: float
    last_seen: float


class SourcesStatus(msgspec.Struct):
    """`latest` are those seen last, at most 100 of `count`; `silent` those that sent regularly and have stopped.

    Senders are remembered over restarts: `first_seen` and `messages` begin before the relay did.
    """

    count: int = 0
    forgotten: int = 0
    latest: list[SourceStatus] = []
    silent: list[SourceStatus] = []


class UdpStatus(msgspec.Struct):
    """Datagrams the kernel dropped because nobody read fast enough."""

    drops_by_port: dict[int, int] = {}
    queued_bytes_by_port: dict[int, int] = {}
    receive_buffer_errors: int = 0
    checksum_errors: int = 0


class RsyslogStatus(msgspec.Struct):
    """rsyslog's own queue, in memory, as it last wrote it down; `age` seconds ago.

    `failed` are messages that it could not write to the hand-over files, and lost.
    """

    age: float
    stale: bool
    queue: int
    largest_queue: int
    discarded: int
    stalled: bool
    suspended: int
    failed: int
    submitted: dict[str, int]
    disallowed: dict[str, int]


class HandoverWriterStatus(msgspec.Struct):
    """Files of one writer (rsyslog, journal, receiver) that the relay has not read to their end.

    `oldest_age` is how long the first record not read waits. `gate_shut`: the writer holds its senders back, as the
    backlog is at its bound or the disk is full. `torn` records had no end, for their writer was killed in them.
    """

    backlog_bytes: int = 0
    oldest_age: float = 0.0
    gate_shut: bool = False
    torn: int = 0
    unreadable_bytes: int = 0
    error: str = ""


class HandoverStatus(msgspec.Struct):
    """What rsyslog and the receiver have handed over and the relay has not read; of all writers, and of each."""

    backlog_bytes: int = 0
    oldest_age: float = 0.0
    writers: dict[str, HandoverWriterStatus] = {}


class ProcessStatus(msgspec.Struct):
    pid: int
    rss_bytes: int
    cpu_seconds: float
    threads: int
    open_files: int


class Status(msgspec.Struct):
    """`recent`: what grew in the last 15 minutes of restamped (lines, when they are many), udp_dropped,
    rsyslog_discarded, streams_overflowed,
    label_values_overflowed, given_up (entries dropped for good or dead-lettered), dead_letters_given_up, set_aside
    (batches), connections_refused and protocol_errors. `frames_cut` are messages longer than
    relay.connections.max_message, cut and marked. `lost`: the entries of `given_up` by their reason.
    """

    version: str
    now: float
    started: float
    uptime: float
    ready: bool
    not_ready_reason: str
    problems: list[Problem]
    recent: dict[str, int]
    lost: dict[str, int]
    inputs: dict[str, InputStatus]
    queue: QueueStatus
    loki: LokiStatus
    streams: StreamsStatus
    sources: SourcesStatus
    dropped: dict[str, int]
    repaired: dict[str, int]
    push_refused: dict[str, int]
    push_open_to_anyone: bool
    connections_refused: int
    frames_cut: int
    protocol_errors: int
    dead_letters: DeadLettersStatus
    ack_pending: int
    udp: UdpStatus
    rsyslog: RsyslogStatus | None
    handover: HandoverStatus
    receiver: ReceiverStatus | None
    process: ProcessStatus
    config_reloads: int
    config_reload_failures: int


# Counters whose growth is a problem for the next quarter of an hour: part, words, remedy.
_RECENT = {
    "given_up": (
        "losses",
        "{} lines could not be delivered in the last 15 min{reasons}",
        "{letters}",
    ),
    "dead_letters_given_up": (
        "losses",
        "{} dead letters were dropped in the last 15 min: more than relay.spool.max_dead_letter holds",
        "fix what Loki refuses (`appliance dead-letters list`), or raise relay.spool.max_dead_letter",
    ),
    "protocol_errors": (
        "connections",
        "{} connections were closed in the last 15 min: what came is neither syslog nor RELP",
        "`journalctl -u appliance-relay` names the sender: does it send RELP or syslog to the right port?",
    ),
    "restamped": (
        "time",
        "{} lines got the time of receipt in the last 15 min: their own is too far from this clock",
        "compare this clock with the senders': `chronyc tracking`; for one sender set relay.time.senders",
    ),
    "udp_dropped": (
        "udp",
        "the kernel dropped {} datagrams in the last 15 min",
        "raise listeners.udp.receive_buffer, or let the busiest senders use TCP",
    ),
    "rsyslog_discarded": (
        "rsyslog",
        "rsyslog's queue was full, it discarded {} messages in the last 15 min",
        "bring Loki back, or raise listeners.queue.max_disk",
    ),
    "unknown_clients": (
        "push",
        "{} pushes were refused lately, as their client is not known or may not do so",
        "see push_refused and relay.push.clients; `appliance token new NAME` makes what a client needs",
    ),
    "set_aside": (
        "queue",
        "{} unreadable batches were set aside in the last 15 min",
        "check the disk's health; the files are in the directory set-aside of the spool",
    ),
    "streams_overflowed": (
        "streams",
        "{} label sets lost labels in the last 15 min: {limit} streams are allowed",
        "use fewer labels, or raise labels.guard.max_streams if Loki allows more",
    ),
    "label_values_overflowed": (
        "streams",
        "{} label values became metadata in the last 15 min: over labels.guard.max_values_per_label, or too long",
        "see streams.values_overflowed for the labels; use as labels only fields with few values, or raise the limit",
    ),
    "connections_refused": (
        "connections",
        "{} connections were refused in the last 15 min: too many were open",
        "raise relay.connections.max, or find out who connects so often",
    ),
}


def problems_of(status: Status, listeners: model.Listeners) -> Iterable[Problem]:
    """Return the problems, the most severe first."""
    queue, loki = status.queue, status.loki
    if status.not_ready_reason:
        yield Problem("relay", status.not_ready_reason, "see `journalctl -u appliance-relay`")
    if loki.state in ("held", "waiting"):
        error = loki.last_error
        yield Problem(
            "loki",
            error.cause if error else "Loki does not accept what is sent",
            error.remedy if error else "see `journalctl -u appliance-relay`",
        )
    if queue.full:
        yield Problem(
            "queue",
            f"the spool is full: {queue.full_reason}",
            "bring Loki back, enlarge the data disk or raise relay.spool.max_size",
        )
    elif queue.fill_ratio >= 0.8:
        yield Problem(
            "queue", f"the spool is {queue.fill_ratio:.0%} full", "bring Loki back before it is full, or enlarge it"
        )
    if status.receiver is not None:
        for problem, remedy in receiver_problems(status.receiver, listeners, status.now):
            yield Problem("receiver", problem, remedy)
    if status.push_open_to_anyone:
        yield Problem(
            "push",
            "anyone who reaches relay.listen.push may push",
            "list relay.push.clients (`appliance token new NAME`) and remove relay.push.anyone",
        )
    for name, (part, words, remedy) in _RECENT.items():
        if count := status.recent.get(name, 0):
            words = words.format(count, limit=status.streams.limit, reasons=_reasons(status))
            yield Problem(part, words, remedy.format(letters=_letters(status)))
    if status.dead_letters.by_reason and not status.recent.get("given_up", 0):
        number = sum(status.dead_letters.by_reason.values())
        reasons = reasons_in_words(status.dead_letters.by_reason)
        lines = "1 line" if number == 1 else f"{number} lines"
        yield Problem(
            "losses",
            f"{lines} could not be delivered{reasons}; kept in {status.dead_letters.path}",
            "`appliance dead-letters list` shows them; fix the cause, then `appliance dead-letters retry --all`",
        )
    yield from _handover_problems(status)


def _handover_problems(status: Status) -> Iterable[Problem]:
    rsyslog = status.rsyslog
    if rsyslog is not None and rsyslog.failed:
        yield Problem(
            "handover",
            f"rsyslog lost {rsyslog.failed} messages: it could not write them to its hand-over files",
            "see `journalctl -u rsyslog` and the data disk's health, then `systemctl restart rsyslog`",
        )
    for name, writer in status.handover.writers.items():
        if writer.error:
            yield Problem(
                "handover",
                f"hand-over files of {name} cannot be read: {writer.error}",
                "see `journalctl -k` for the disk's errors",
            )
        if writer.unreadable_bytes:
            yield Problem(
                "handover",
                f"{writer.unreadable_bytes} bytes that {name} handed over could not be read from disk",
                "replace the disk: see `journalctl -k` for its errors",
            )
        if writer.gate_shut:
            yield Problem(
                "handover",
                f"{name} holds its senders back: {writer.backlog_bytes} bytes wait for the relay, or the disk is full",
                "bring Loki back, enlarge the data disk, or raise listeners.queue.max_disk",
            )
    if rsyslog is not None and rsyslog.stalled and not any(one.gate_shut for one in status.handover.writers.values()):
        yield Problem(
            "rsyslog",
            f"{rsyslog.queue} messages wait in rsyslog and none leaves",
            "see `journalctl -u rsyslog` and the data disk's health",
        )


def _reasons(status: Status) -> str:
    """Return why lines were not delivered, most frequent first, in brackets; empty when nobody knows."""
    return reasons_in_words(status.lost)


def reasons_in_words(numbers: Mapping[str, int]) -> str:
    """Return numbers by reason, most frequent first, in brackets; empty when there are none."""
    counts = sorted(((count, reason) for reason, count in numbers.items()), reverse=True)
    shown = ", ".join(f"{reason.replace('_', ' ')} {count}" for count, reason in counts)
    return f" ({shown})" if shown else ""


def _letters(status: Status) -> str:
    """Return where the lines are that were not delivered, and what can be done with them."""
    if not status.lost.keys() & status.loki.dead_lettered.keys():
        return "bring Loki back sooner, or give the spool more room: relay.spool.max_size, max_age"
    return f"`appliance dead-letters list` shows those that Loki refused; they are kept in {status.dead_letters.path}"
