"""Rules that types cannot express: whether the parts of a configuration fit together and have valid syntax.

Pure: reads no file, socket or clock (except time zone names, which are the system's). Types are
`model*.py`, relabeling rules `check_relabel.py`, the machine's own settings `check_system.py`.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from appliance.config.check_push import TENANT, check_push
from appliance.config.check_relabel import check_rules, valid_label_name
from appliance.config.check_system import check_system, zone_exists
from appliance.config.model import Config, Labels, Listeners, Loki, Relay, ServerTls
from appliance.config.problems import Problem, shown
from appliance.config.ranges import check_range, is_address, is_loopback

_OUR_HEADERS = {
    "authorization": "use loki.basic_auth or loki.bearer_token_file",
    "connection": "",
    "content-encoding": "",
    "content-length": "",
    "content-type": "use loki.encoding",
    "host": "use loki.url, and loki.tls.server_name",
    "transfer-encoding": "",
    "user-agent": "",
    "x-scope-orgid": "use loki.tenant",
}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LABEL_HINT = "letters, digits and _, not starting with a digit"


def check(config: Config) -> Iterator[Problem]:
    """Yield every problem and warning; no errors means that the configuration can be applied."""
    yield from _check_loki(config.loki)
    yield from _check_labels(config.labels, config.loki)
    yield from _check_relay(config.relay, config.loki)
    yield from _check_listeners(config.listeners)
    yield from _check_anything_listens(config)
    yield from _check_ports(config)
    yield from check_system(config.system, config.access)


def _check_anything_listens(config: Config) -> Iterator[Problem]:
    """On the appliance rsyslog listens and hands over to the relay; a relay alone has listeners of its own."""
    devices = any(getattr(config.listeners, name) for name in ("udp", "tcp", "tls", "relp", "relp_tls"))
    listen = config.relay.listen
    if not devices and listen.relp is None and listen.syslog_tcp is None and listen.push is None:
        hint = "set listeners.udp and tcp; for a relay alone relay.listen.relp, syslog_tcp or push"
        yield Problem("listeners", "nothing listens: no device can send logs", hint, severity="warning")


# ---- loki -----------------------------------------------------------------------------------


def _check_loki(loki: Loki) -> Iterator[Problem]:
    yield from _check_url(loki.url)
    if loki.proxy is not None:
        yield from _check_proxy(loki.proxy)
    if loki.basic_auth and loki.bearer_token_file:
        hint = "Loki accepts one of them: remove basic_auth or bearer_token_file"
        yield Problem("loki.bearer_token_file", "two ways to authenticate at once", hint)
    if loki.tenant is not None and (not TENANT.fullmatch(loki.tenant) or loki.tenant in (".", "..")):
        hint = "1 to 150 of letters, digits and !-_.*'()"
        yield Problem("loki.tenant", "not a valid tenant for Loki", hint, shown(loki.tenant))
    for name, value in loki.headers.items():
        yield from _check_header(name, value)
    if (loki.tls.cert_file is None) != (loki.tls.key_file is None):
        missing = "key_file" if loki.tls.key_file is None else "cert_file"
        yield Problem(f"loki.tls.{missing}", "missing: a client certificate has a certificate and a key")
    if loki.tls.insecure_skip_verify:
        hint = "set loki.tls.ca_file to your CA instead"
        message = "anyone on the path can read and forge what is sent"
        yield Problem("loki.tls.insecure_skip_verify", message, hint, severity="warning")
    if loki.timeout <= 0:
        yield Problem("loki.timeout", "must be more than 0", "10s to 60s is usual", str(loki.timeout))
    if not 0 < loki.backoff.min <= loki.backoff.max:
        hint = "min is more than 0 and not more than max"
        yield Problem("loki.backoff.min", "does not fit loki.backoff.max", hint, str(loki.backoff.min))
    limits = loki.limits
    if limits.line_size > limits.push_size:
        yield Problem("loki.limits.line_size", "larger than a whole push (loki.limits.push_size)")
    for name in ("stream_rate", "stream_burst", "push_size", "line_size", "behind", "oldest"):
        if getattr(limits, name) <= 0:
            yield Problem(f"loki.limits.{name}", "must be more than 0", "the value that your Loki uses")


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL that has a sound host and port, else None."""
    try:
        parts = urlsplit(url)
        if parts.port == 0 or not parts.hostname or re.search(r"[\s\x00-\x20\"<>\\^`{|}]", url):
            return None
        if ":" in parts.hostname:
            ipaddress.IPv6Address(parts.hostname)
    except ValueError:
        return None
    return parts


def _without_password(url: str) -> str:
    return shown(re.sub(r"//[^/@]*@", "//…@", url))


def _check_url(url: str) -> Iterator[Problem]:
    where, value = "loki.url", _without_password(url)
    example = "such as https://loki.example.org/loki/api/v1/push"
    if not url.lower().startswith(("http://", "https://")):
        yield Problem(where, "does not start with http:// or https://", example, value)
        return
    parts = _split(url)
    if parts is None:
        yield Problem(where, "not a URL with a host", example, value)
        return
    if parts.username is not None or parts.password is not None:
        yield Problem(where, "do not put secrets in the URL", "use loki.basic_auth with a password_file", value)
    if parts.path in ("", "/"):
        yield Problem(where, "has no path", f"{url.rstrip('/')}/loki/api/v1/push is usual", value)
    elif not parts.path.endswith("/loki/api/v1/push"):
        hint = "right only if a proxy rewrites it"
        yield Problem(where, "does not end with /loki/api/v1/push", hint, value, severity="warning")
    if parts.query or parts.fragment:
        yield Problem(where, "must not have a query or a fragment", "remove everything from ? or # on", value)


def _check_proxy(proxy: str) -> Iterator[Problem]:
    where, value = "loki.proxy", _without_password(proxy)
    parts = _split(proxy)
    if parts is None or parts.scheme not in ("http", "https"):
        yield Problem(where, "not the URL of an HTTP proxy", "such as http://proxy.example.org:3128", value)
        return
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        yield Problem(where, "a proxy has no path", "such as http://proxy.example.org:3128", value)
    if parts.password is not None:
        hint = "keep it at mode 0600, or let the proxy know this machine's address"
        yield Problem(where, "the password makes this file a secret", hint, value, severity="warning")


def _check_header(name: str, value: str) -> Iterator[Problem]:
    where = f"loki.headers.{name}"
    if not _HEADER_NAME.fullmatch(name):
        yield Problem(where, "not the name of an HTTP header")
    elif name.lower() in _OUR_HEADERS:
        yield Problem(where, "is set by the relay itself", _OUR_HEADERS[name.lower()] or "leave it out")
    if not value.isprintable() or not value.isascii():
        yield Problem(where, "the value of a header is printable ASCII on one line")


# ---- labels ---------------------------------------------------------------------------------


def _check_labels(labels: Labels, loki: Loki) -> Iterator[Problem]:
    limits = loki.limits
    for name, value in labels.static.items():
        where = f"labels.static.{name}"
        if not valid_label_name(name):
            yield Problem(where, "not a label name", _LABEL_HINT, shown(name))
        elif name.startswith("__"):
            yield Problem(where, "names starting with __ never leave the relay", f"call it {name.strip('_') or 'job'}")
        elif len(name.encode()) > limits.label_name_length:
            yield Problem(where, f"longer than Loki accepts ({limits.label_name_length} bytes)")
        if not value:
            yield Problem(where, "an empty label is no label", "give it a value or remove it")
        elif len(value.encode()) > limits.label_value_length:
            yield Problem(where, f"the value is longer than Loki accepts ({limits.label_value_length} bytes)")
        if name in labels.include:
            yield Problem(where, "is also in labels.include", "remove it from one of them", severity="warning")
    for name, count in Counter(labels.include).items():
        if count > 1:
            yield Problem("labels.include", f"{name} is listed twice")
    total = len(set(labels.static) | set(labels.include))
    if total >= limits.label_names:
        hint = f"Loki accepts {limits.label_names} per stream, and adds service_name itself"
        yield Problem("labels", f"{total} labels are too many", hint)
    if total == 0 and not labels.relabel_configs:
        yield Problem("labels.static", "no labels", "Loki requires at least one, such as job: syslog")
    for index, name in enumerate(labels.guard.drop_order):
        if not valid_label_name(name):
            yield Problem(f"labels.guard.drop_order[{index}]", "not a label name", _LABEL_HINT, shown(name))
    if labels.guard.max_streams >= limits.streams:
        hint = f"less than {limits.streams}: leave room for other senders and Loki's own count"
        where, value = "labels.guard.max_streams", str(labels.guard.max_streams)
        yield Problem(where, "not below what Loki allows (loki.limits.streams)", hint, value)
    if labels.guard.idle <= 0:
        yield Problem("labels.guard.idle", "must be more than 0", "1h is usual", str(labels.guard.idle))
    yield from check_rules(labels.relabel_configs, "labels.relabel_configs")


# ---- relay ----------------------------------------------------------------------------------


def _check_relay(relay: Relay, loki: Loki) -> Iterator[Problem]:
    limits, batch, spool, time = loki.limits, relay.batch, relay.spool, relay.time
    if batch.size > limits.push_size:
        hint = f"{limits.push_size} or less (loki.limits.push_size)"
        yield Problem("relay.batch.size", "more than Loki accepts in one push", hint, str(batch.size))
    if batch.size < 1024:
        yield Problem("relay.batch.size", "too small to hold a message", "1MiB to 3MiB is usual", str(batch.size))
    if not 0 < batch.age <= 60:
        yield Problem("relay.batch.age", "must be more than 0 and at most 60s", "1s is usual", str(batch.age))
    if spool.max_size < 4 * batch.size:
        hint = f"at least four batches: {4 * batch.size} bytes"
        yield Problem("relay.spool.max_size", "too small for a spool", hint, str(spool.max_size))
    if spool.max_age is not None and spool.max_age < 60:
        hint = "lines are lost in an outage longer than this: hours or days are usual"
        yield Problem("relay.spool.max_age", "less than a minute", hint, str(spool.max_age))
    if relay.connections.max_message < 480:
        hint = "RFC 5424 requires at least 480 bytes"
        yield Problem("relay.connections.max_message", "too small", hint, str(relay.connections.max_message))
    if relay.connections.idle_timeout <= 0:
        yield Problem("relay.connections.idle_timeout", "must be more than 0", "10m is usual")
    if time.max_past > limits.oldest:
        hint = f"Loki refuses what is older than {limits.oldest} (loki.limits.oldest)"
        yield Problem("relay.time.max_past", "accepts timestamps that Loki refuses", hint, str(time.max_past))
    if time.max_future > limits.ahead:
        hint = f"Loki refuses what is further ahead than {limits.ahead} (loki.limits.ahead)"
        yield Problem("relay.time.max_future", "accepts timestamps that Loki refuses", hint, str(time.max_future))
    for index, sender in enumerate(time.senders):
        where = f"relay.time.senders[{index}]"
        yield from check_range(sender.address, f"{where}.address")
        if sender.timezone is not None and not zone_exists(sender.timezone):
            hint = "a name of the IANA database, such as Europe/Paris or UTC"
            yield Problem(f"{where}.timezone", "no such time zone", hint, shown(sender.timezone))
    if relay.push.tls is not None:
        yield from _check_server_tls(relay.push.tls, "relay.push.tls")
    yield from check_push(relay)
    listen = relay.listen
    if listen.relp is not None and not is_loopback(listen.relp.host):
        hint = "let devices send to listeners.relp (rsyslog), and keep this one on 127.0.0.1"
        message = "anyone who can reach this address can fake the sender and time of receipt"
        yield Problem("relay.listen.relp", message, hint, listen.relp, severity="warning")


# ---- listeners ------------------------------------------------------------------------------


def _check_listeners(listeners: Listeners) -> Iterator[Problem]:
    for name in ("udp", "tcp", "tls", "relp", "relp_tls"):
        listener = getattr(listeners, name)
        if listener is None:
            continue
        where = f"listeners.{name}"
        if listener.address is not None and not is_address(listener.address):
            hint = "an address of this machine; leave it out for all"
            yield Problem(f"{where}.address", "not an IP address", hint, shown(listener.address))
        if isinstance(tls := getattr(listener, "tls", None), ServerTls):
            yield from _check_server_tls(tls, f"{where}.tls")
    if listeners.queue.max_disk < 2**20:
        yield Problem(
            "listeners.queue.max_disk", "too small for a queue", "1GiB or more", str(listeners.queue.max_disk)
        )
    if listeners.queue.path is not None:
        hint = "data waiting for the relay is in /var/lib/appliance/handover"
        yield Problem("listeners.queue.path", "no longer used", hint, listeners.queue.path, severity="warning")


def _check_server_tls(tls: ServerTls, where: str) -> Iterator[Problem]:
    if tls.client_certificates == "names" and not tls.permitted_names:
        hint = "list the names, or set client_certificates: ca"
        yield Problem(f"{where}.permitted_names", "empty, so nobody could connect", hint)
    if tls.client_certificates != "names" and tls.permitted_names:
        hint = "set client_certificates: names"
        yield Problem(f"{where}.permitted_names", "ignored", hint, severity="warning")


def _check_ports(config: Config) -> Iterator[Problem]:
    """Yield listeners that cannot open their port because another one uses it."""
    taken: list[tuple[str, str, int, str]] = []
    for name in ("udp", "tcp", "tls", "relp", "relp_tls"):
        if (listener := getattr(config.listeners, name)) is not None:
            protocol = "udp" if name == "udp" else "tcp"
            taken.append((protocol, listener.address or "", listener.port, f"listeners.{name}.port"))
    for name in ("relp", "syslog_tcp", "push", "http"):
        if (endpoint := getattr(config.relay.listen, name)) is not None:
            taken.append(("tcp", endpoint.host, endpoint.port, f"relay.listen.{name}"))
    for index, (protocol, host, port, where) in enumerate(taken):
        for other_protocol, other_host, other_port, other in taken[:index]:
            if port and (protocol, port) == (other_protocol, other_port) and _same_address(host, other_host):
                hint = "give one of them another port"
                yield Problem(where, f"port {port} is already used by {other}", hint)


def _same_address(one: str, other: str) -> bool:
    every = ("", "0.0.0.0", "::")
    alias = {"localhost": "127.0.0.1"}
    return one in every or other in every or alias.get(one, one) == alias.get(other, other)
