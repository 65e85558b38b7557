"""Promtail's configuration as ours: clients, syslog targets and relabelling carried over, the rest said.

Pure: text to text and notes. Nothing is dropped silently: each setting that has no counterpart gets a
note with its line. Secrets that stand in Promtail's file are not copied; the note says where to put them.
Source: loki@v3.5.12, clients/pkg/promtail/{client,scrapeconfig}/.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from appliance.config.load import parse
from appliance.config.model_labels import RelabelRule
from appliance.config.problems import ConfigError
from appliance.config.promtail_tree import Tree, read_tree
from appliance.errors import UsageError

_PASSWORD_FILE = "/etc/appliance/secrets/loki-password"
_TOKEN_FILE = "/etc/appliance/secrets/loki-token"
_RULE_KEYS = frozenset(RelabelRule.__struct_fields__)
_SAID_BY_DESIGN = {
    "positions": "not needed: the spool is the relay's memory",
    "limits_config": "the relay's bounds are labels.guard and relay.connections",
    "target_config": "there are no files to look for",
    "tracing": "the relay does not trace",
    "options": "no counterpart",
    "global": "no counterpart",
}
_CLIENT_BY_DESIGN = {
    "name": "there is one Loki",
    "drop_rate_limited_batches": "nothing is dropped for being limited, it waits",
    "follow_redirects": "redirects are not followed: write the final URL",
    "enable_http2": "pushes go by HTTP/1.1",
    "stream_lag_labels": "no counterpart",
}


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was not carried over, or not as it was; `line` is Promtail's file's."""

    line: int
    path: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.text}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came of Promtail's file: our text, what to know about it, and what is still wrong with it."""

    text: str
    notes: list[Note]
    problems: ConfigError | None


def convert(text: str) -> Conversion:
    """Convert the text of Promtail's configuration. Raise UsageError when it is none."""
    tree = read_tree(text)
    if not {"clients", "client", "scrape_configs"} & set(tree.keys()):
        raise UsageError("this is not Promtail's configuration", hint="it has neither clients nor scrape_configs")
    converter = _Converter()
    converter.top(tree)
    converter.finish(tree)
    result = yaml.safe_dump(converter.made, sort_keys=False, allow_unicode=True, width=110)
    problems: ConfigError | None = None
    try:
        parse(result, source="what came of it")
    except ConfigError as error:
        problems = error
    return Conversion(result, sorted(converter.notes, key=lambda note: note.line), problems)


class _Converter:
    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.made: dict[str, Any] = {"loki": {}, "labels": {"static": {}, "include": []}, "relay": {}}

    def note(self, tree: Tree, text: str) -> None:
        self.notes.append(Note(tree.line, tree.path, text))

    def put(self, path: str, value: object) -> None:
        *sections, key = path.split(".")
        place = self.made
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value

    def top(self, tree: Tree) -> None:
        for key, child in tree.items():
            match key:
                case "server":
                    self.server(child)
                case "clients" | "client":
                    self.clients(child)
                case "scrape_configs":
                    self.scrape_configs(child)
                case _:
                    self.note(child, f"not carried over: {_SAID_BY_DESIGN.get(key, 'no counterpart')}")

    def finish(self, tree: Tree) -> None:
        """Leave out what is empty; make labels where Promtail made none, which Loki refuses."""
        labels = self.made["labels"]
        if not labels["static"] and "relabel_configs" not in labels:
            self.note(tree, "no label was made, and Loki wants one: the relay makes its own, as by default")
            del labels["static"], labels["include"]
        self.made = {key: value for key, value in self.made.items() if value}

    def server(self, tree: Tree) -> None:
        address = tree["http_listen_address"].text() if "http_listen_address" in tree else "0.0.0.0"
        for key, child in tree.items():
            if key == "http_listen_port" and child.text() != "0":
                self.put("relay.listen.http", f"{address}:{child.text()}")
            elif key == "log_level":
                level = {"warn": "warning"}.get(child.text(), child.text())
                self.put("relay.log_level", level)
            elif key not in ("http_listen_address", "http_listen_port"):
                self.note(child, "not carried over: no counterpart")

    # ---- clients ----------------------------------------------------------------------------

    def clients(self, tree: Tree) -> None:
        first, *others = tree.list() or [tree]
        for other in others:
            self.note(other, "not carried over: there is one Loki; run a second relay for a second one")
        targets = {
            "batchsize": "relay.batch.size",
            "batchwait": "relay.batch.age",
            "tenant_id": "loki.tenant",
            "timeout": "loki.timeout",
            "bearer_token_file": "loki.bearer_token_file",
            "proxy_url": "loki.proxy",
        }
        plain = {}
        for key, child in first.items():
            match key:
                case "url":
                    self.url(child)
                case "basic_auth":
                    self.basic_auth(child)
                case "bearer_token":
                    self.secret(child, "loki.bearer_token_file", _TOKEN_FILE)
                case "authorization":
                    self.authorization(child)
                case "tls_config":
                    self.client_tls(child)
                case "backoff_config":
                    self.backoff(child)
                case "external_labels":
                    self.made["labels"]["static"].update(child.texts())
                case "headers":
                    self.put("loki.headers", child.texts())
                case _:
                    plain[key] = child
        for key, child in plain.items():
            if key in targets:
                self.put(targets[key], child.text())
            else:
                self.note(child, f"not carried over: {_CLIENT_BY_DESIGN.get(key, 'no counterpart')}")

    def url(self, tree: Tree) -> None:
        url = tree.text()
        try:
            parts = urlsplit(url)
            user, password = parts.username, parts.password
        except ValueError:
            user = password = None
        if user is not None:
            url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
            self.put("loki.basic_auth.username", user)
        if password is not None:
            self.secret(tree, "loki.basic_auth.password_file", _PASSWORD_FILE)
        if "${" in url:
            self.note(tree, "variables are not expanded: write the URL out")
        # The URL comes first in what we write.
        self.made["loki"] = {"url": url, **self.made["loki"]}

    def secret(self, tree: Tree, target: str, file: str) -> None:
        self.put(target, file)
        self.note(tree, f"the secret was not copied: put it into {file}, owned by the relay's user, mode 0600")

    def basic_auth(self, tree: Tree) -> None:
        for key, child in tree.items():
            if key in ("username", "password_file"):
                self.put(f"loki.basic_auth.{key}", child.text())
            elif key == "password":
                self.secret(child, "loki.basic_auth.password_file", _PASSWORD_FILE)
            else:
                self.note(child, "not carried over: no counterpart")

    def authorization(self, tree: Tree) -> None:
        kind = tree["type"].text() if "type" in tree else "Bearer"
        if kind.lower() != "bearer":
            self.note(tree, f"not carried over: {kind} is not a kind of authorization that the relay knows")
            return
        for key, child in tree.items():
            if key == "credentials":
                self.secret(child, "loki.bearer_token_file", _TOKEN_FILE)
            elif key == "credentials_file":
                self.put("loki.bearer_token_file", child.text())

    def client_tls(self, tree: Tree) -> None:
        names = ("ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify")
        versions = {"TLS12": "1.2", "TLS13": "1.3"}
        for key, child in tree.items():
            if key == "min_version" and child.text() in versions:
                self.put("loki.tls.min_version", versions[child.text()])
            elif key in names:
                self.put(f"loki.tls.{key}", child.flag() if key == "insecure_skip_verify" else child.text())
            else:
                self.note(child, "not carried over: certificates and keys stand in files of their own")

    def backoff(self, tree: Tree) -> None:
        for key, child in tree.items():
            if key in ("min_period", "max_period"):
                self.put(f"loki.backoff.{key[:3]}", child.text())
            else:
                self.note(child, "not carried over: the relay tries for ever, nothing is given up")

    # ---- scrape_configs ---------------------------------------------------------------------

    def scrape_configs(self, tree: Tree) -> None:
        taken = False
        for job in tree.list():
            kinds = [key for key, _ in job.items() if key not in ("job_name", "relabel_configs", "pipeline_stages")]
            if "syslog" in kinds and not taken:
                taken = True
                self.syslog_job(job)
            elif "syslog" in kinds:
                self.note(job, "not carried over: the relay has one syslog listener, and the first job has it")
            elif "loki_push_api" in kinds:
                self.push_api_job(job)
            else:
                what = ", ".join(kinds) or "nothing"
                hint = "leave it to Promtail or Alloy there, and let it push to relay.listen.push"
                self.note(job, f"not carried over: reads {what}, which is not syslog; {hint}")

    def syslog_job(self, job: Tree) -> None:
        for key, child in job.items():
            match key:
                case "syslog":
                    self.syslog(child)
                case "relabel_configs":
                    self.relabel(child)
                case "pipeline_stages":
                    for stage in child.list():
                        names = ", ".join(stage.keys())
                        self.note(stage, f"not carried over: stage {names}; relabelling is what the relay does")
                case "job_name":
                    pass
                case _:
                    self.note(child, "not carried over: no counterpart")
        self.note(job, "only the labels that Promtail made are made; labels.include adds host, application, level")

    def syslog(self, tree: Tree) -> None:
        settings = dict(tree.items())
        protocol = settings.pop("listen_protocol", None)
        address = settings.pop("listen_address", None)
        if address is not None and protocol is not None and protocol.text() == "udp":
            self.put("listeners.udp.port", address.text().rpartition(":")[2])
            self.note(protocol, "UDP is rsyslog's in the appliance: listeners.udp, not the relay alone")
        elif address is not None:
            self.put("relay.listen.syslog_tcp", address.text())
        incoming = settings.pop("use_incoming_timestamp", None)
        if incoming is None or not incoming.flag():
            self.put("relay.time.timestamp", "received")
            self.note(incoming or tree, "entries bear the time of receipt as before; timestamp: message is our default")
        for key, child in settings.items():
            match key:
                case "idle_timeout":
                    self.put("relay.connections.idle_timeout", child.text())
                case "max_message_length":
                    self.put("relay.connections.max_message", child.text())
                case "labels":
                    self.made["labels"]["static"].update(child.texts())
                case "label_structured_data":
                    self.note(child, "structured data becomes structured metadata, and __syslog_message_sd_* for rules")
                case "tls_config":
                    self.note(child, "not carried over: syslog over TLS is listeners.tls in the appliance")
                case "syslog_format" if child.text() == "rfc5424":
                    pass
                case "syslog_format":
                    self.note(child, "not carried over: RFC 3164 is rsyslog's, listeners.tcp and listeners.udp")
                case "use_rfc5424_message":
                    if child.flag():
                        self.note(child, "not carried over: an entry is the message, the rest is labels and metadata")
                case _:
                    self.note(child, "not carried over: no counterpart")

    def push_api_job(self, job: Tree) -> None:
        server = job["loki_push_api"]
        port = "3500"
        for key, child in server.items():
            if key == "server" and "http_listen_port" in child:
                port = child["http_listen_port"].text()
            elif key == "labels":
                self.note(child, "not carried over: pushed streams keep the labels that they come with")
        self.put("relay.listen.push", f"0.0.0.0:{port}")
        for key in ("relabel_configs", "pipeline_stages"):
            if key in job:
                self.note(job[key], "not carried over: pushed streams keep the labels that they come with")

    def relabel(self, tree: Tree) -> None:
        rules = []
        for rule in tree.list():
            made: dict[str, Any] = {}
            for key, child in rule.items():
                if key == "source_labels":
                    made[key] = [item.text() for item in child.list()]
                elif key in _RULE_KEYS:
                    made[key] = child.text().lower() if key == "action" else child.text()
                else:
                    self.note(child, "not carried over: not a key of a rule")
            if "__syslog_connection_hostname" in made.get("source_labels", ()):
                self.note(rule, "__syslog_connection_hostname is the sender's address here: no name server is asked")
            rules.append(made)
        self.put("labels.relabel_configs", rules)
