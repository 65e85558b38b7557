"""What an answer of Loki, or of a server in its place, means for the push.

Pure: from an `Answer` to a `Diagnosis`. What then happens to the push is `send/settle.py`; by which words
Loki reports each of its limits is `loki/limit_table.py`.
"""

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from appliance.relay.loki.limit_table import About, Reason, Then, limit
from appliance.relay.loki.rejections import Rejection, rejections_of

_LONGEST_WAIT = 3600.0
"""Seconds of a Retry-After that are believed."""
_SHOWN = 300
"""Characters of an answer that are shown to people."""


class Failure(enum.StrEnum):
    """Why no answer came."""

    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    RESET = "reset"
    TLS = "tls"
    PROXY = "proxy"
    PROTOCOL = "protocol"
    CREDENTIALS = "credentials"  # a file of ours cannot be read
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one push: a status and a body, or the `failure` that kept it away."""

    status: int = 0
    body: str = ""
    retry_after: str = ""
    content_type: str = ""
    location: str = ""
    failure: Failure | None = None
    detail: str = ""
    """What the system or library said about the failure."""
    seconds: float = 0.0
    clock_skew: float | None = None
    """Seconds that the server's clock is ahead of ours (negative: behind), by its Date header."""

    @property
    def code(self) -> str:
        """As in metrics: the status, or the kind of failure."""
        return str(self.failure) if self.failure else str(self.status)


class Kind(enum.Enum):
    """What has to happen with the push."""

    STORED = "stored"
    PARTIAL = "partial"  # rejections of some streams or entries; the rest was stored
    TENANT_RATE = "tenant_rate"  # nothing stored; later, slower
    TOO_LARGE = "too_large"  # nothing stored; smaller
    RETRY = "retry"  # perhaps nothing stored; later
    CONFIGURATION = "configuration"  # nothing stored, and waiting alone does not help
    REFUSED = "refused"  # refused for a reason that is not understood


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an answer means."""

    kind: Kind
    cause: str
    """What happened, for people; one clause, no secrets."""
    remedy: str
    """What to do about it, one sentence."""
    rejections: tuple[Rejection, ...] = ()
    retry_after: float | None = None
    """Seconds that the server asked to wait."""
    allowed: int = 0
    """The number of bytes (a second) that Loki named as its limit; 0 if none."""
    explained: bool = True
    """Return whether the answer's words were understood; else it is its status alone that counts."""


_REMEDIES = {
    Failure.DNS: "check the host name in loki.url and the DNS servers of this machine",
    Failure.REFUSED: "check that Loki runs and that host and port in loki.url are correct",
    Failure.UNREACHABLE: "check network, gateway and firewall between this machine and Loki",
    Failure.TIMEOUT: "check that Loki is not overloaded and that no firewall drops the connection; see loki.timeout",
    Failure.RESET: "check Loki and the proxies in front of it; https or http in loki.url may be the wrong one",
    Failure.TLS: "check loki.tls: ca_file must hold the CA of Loki's certificate, server_name its name",
    Failure.PROXY: "check loki.proxy, and that the proxy allows connections to Loki",
    Failure.PROTOCOL: "check that loki.url points to Loki: the server there does not speak HTTP as expected",
    Failure.CREDENTIALS: "check that the file exists and that the relay's user may read it",
    Failure.STOPPED: "none needed: the relay is stopping",
}
_CAUSES = {
    Failure.DNS: "Loki's host name cannot be resolved",
    Failure.REFUSED: "Loki refused the connection",
    Failure.UNREACHABLE: "Loki cannot be reached",
    Failure.TIMEOUT: "Loki did not answer in time",
    Failure.RESET: "the connection to Loki was interrupted",
    Failure.TLS: "TLS with Loki failed",
    Failure.PROXY: "the proxy did not let the push through",
    Failure.PROTOCOL: "the answer is not HTTP",
    Failure.CREDENTIALS: "a file with credentials cannot be used",
    Failure.STOPPED: "the push was aborted",
}
_CONFIGURATION = {
    260: ("Loki blocks the ingestion of this tenant", "lift the block in Loki's limits (block_ingestion_until)"),
    401: (
        "Loki rejects the credentials",
        "check loki.basic_auth or loki.bearer_token_file; for 'no org id' set loki.tenant",
    ),
    403: ("Loki forbids this push", "check what the credentials and loki.tenant are allowed to do"),
    404: ("nothing accepts pushes at this URL", "check the path of loki.url; Loki's own is /loki/api/v1/push"),
    405: ("nothing accepts pushes at this URL", "check the path of loki.url; Loki's own is /loki/api/v1/push"),
    407: ("the proxy requires credentials", "put user and password into loki.proxy"),
    410: ("nothing accepts pushes at this URL any more", "check loki.url"),
    415: ("the server does not accept our encoding", "try the other loki.encoding"),
    431: ("our headers are too large for the server", "check loki.headers"),
    501: ("the server accepts no pushes", "check loki.url"),
}
_NOT_LOKI = (
    # (part of a 400's body, cause, remedy): the request as a whole was not understood, whatever it carried.
    ("HTTP request to an HTTPS", "Loki's port speaks TLS", "write https:// in loki.url"),
    ("HTTP request was sent to HTTPS", "Loki's port speaks TLS", "write https:// in loki.url"),
    ("SSL certificate", "a client certificate is required", "set loki.tls.cert_file and key_file"),
    ("not supported", "our encoding is not supported", "try the other loki.encoding"),
    ("no org id", "Loki requires a tenant", "set loki.tenant"),
)
_WHOLE = "couldn't parse labels"
"""Found before anything is stored: the whole push is refused for the labels of one stream."""


def diagnose(answer: Answer, now: float) -> Diagnosis:
    """Return what the answer means; `now` in Unix seconds is for a Retry-After that is a date."""
    if answer.failure is not None:
        return _diagnose_failure(answer.failure, answer.detail)
    status, body = answer.status, answer.body
    wait = parse_retry_after(answer.retry_after, now)
    said = f"HTTP {status}" + (f": {_short(body)}" if body.strip() else "")
    if status in _CONFIGURATION:
        cause, remedy = _CONFIGURATION[status]
        return Diagnosis(Kind.CONFIGURATION, f"{cause} ({said})", remedy, retry_after=wait)
    if 200 <= status < 300:
        if body.lstrip()[:1] == "<" or "html" in answer.content_type:
            return Diagnosis(
                Kind.CONFIGURATION, f"the answer is a web page, not Loki's ({said})", "check host and path of loki.url"
            )
        return Diagnosis(Kind.STORED, "", "")
    if 300 <= status < 400:
        target = f" to {_short(answer.location)}" if answer.location else ""
        return Diagnosis(
            Kind.CONFIGURATION,
            f"redirected{target}, which pushes do not follow ({said})",
            "write the final URL in loki.url",
        )
    rejections = rejections_of(body)
    if status == 413 and all(one.limit.then is not Then.SPLIT for one in rejections):
        rejections = (Rejection(limit(Reason.PUSH_SIZE)),)
    return _by_rejections(rejections, body, said, wait) or _by_status(status, body, said, wait)


def _diagnose_failure(failure: Failure, detail: str) -> Diagnosis:
    kind = Kind.CONFIGURATION if failure is Failure.CREDENTIALS else Kind.RETRY
    # That a connection was refused is all that there is to say.
    cause = _CAUSES[failure] + (f": {_short(detail)}" if detail and failure is not Failure.REFUSED else "")
    return Diagnosis(kind, cause, _REMEDIES[failure])


def _by_rejections(
    rejections: tuple[Rejection, ...], body: str, said: str, wait: float | None
) -> Diagnosis | None:  # fmt: skip
    """Return what the answer says in words that are known; None if there are none."""
    whole = [one for one in rejections if one.limit.about is About.TENANT]
    parts = tuple(one for one in rejections if one.limit.about is not About.TENANT)
    if any(one.limit.then is Then.SPLIT for one in whole):
        kind, chosen = Kind.TOO_LARGE, next(one for one in whole if one.limit.then is Then.SPLIT)
    elif _WHOLE in body.lower():
        syntax = tuple(one for one in parts if one.limit.then is Then.RELABEL)
        cause = f"labels that Loki cannot parse ({said})"
        return Diagnosis(Kind.REFUSED, cause, "see the dead letters", syntax[:1])
    elif parts:
        kind, chosen = Kind.PARTIAL, parts[0]
    elif whole:
        kind, chosen = Kind.TENANT_RATE, whole[0]
    else:
        return None
    return Diagnosis(
        kind,
        f"{chosen.limit.cause} ({said})",
        chosen.limit.remedy,
        parts if kind is Kind.PARTIAL else (),
        wait,
        0 if kind is Kind.PARTIAL else chosen.allowed,
    )


def _by_status(status: int, body: str, said: str, wait: float | None) -> Diagnosis:
    """Return what the status alone means."""
    if status == 429:
        rate = limit(Reason.TENANT_RATE)
        return Diagnosis(
            Kind.TENANT_RATE, f"{rate.cause} ({said})", rate.remedy, retry_after=wait, explained=wait is not None
        )
    if 400 <= status < 500 and status not in (408, 425):
        for words, cause, remedy in _NOT_LOKI:
            if words in body:
                return Diagnosis(Kind.CONFIGURATION, f"{cause} ({said})", remedy)
        return Diagnosis(
            Kind.REFUSED,
            f"refused for an unknown reason ({said})",
            "see the dead letters and Loki's log",
            explained=False,
        )
    return Diagnosis(
        Kind.RETRY,
        f"Loki or a proxy fails ({said})",
        "see the logs of Loki and of the proxies in front of it",
        retry_after=wait,
    )


def parse_retry_after(text: str, now: float) -> float | None:
    """Seconds to wait, at most an hour, from seconds or an HTTP date (RFC 9110, 10.2.3); None if it is neither."""
    text = text.strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.fromtimestamp(now, UTC)).total_seconds()
    if seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
