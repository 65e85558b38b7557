"""Promtail's `clients`, `client` and `server` as our loki and relay sections."""

from urllib.parse import urlsplit, urlunsplit

from appliance.config.promtail.notes import Draft, Fate
from appliance.config.promtail.tree import Tree
from appliance.config.ranges import is_loopback

_PASSWORD_FILE = "/etc/appliance/secrets/loki-password"
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
_TOKEN_FILE = "/etc/appliance/secrets/loki-token"
_PUSH = "/loki/api/v1/push"
_TARGETS = {
    "batchsize": "relay.batch.size",
    "batchwait": "relay.batch.age",
    "tenant_id": "loki.tenant",
    "timeout": "loki.timeout",
    "bearer_token_file": "loki.bearer_token_file",
    "proxy_url": "loki.proxy",
}
_BY_DESIGN = {
    "name": "there is one Loki",
    "drop_rate_limited_batches": "nothing is dropped for being limited, it waits",
    "follow_redirects": "redirects are not followed: write the final URL",
    "enable_http2": "pushes go by HTTP/1.1",
    "stream_lag_labels": "no counterpart",
}


def clients(draft: Draft, tree: Tree, labels: dict[str, str], *, elsewhere: bool) -> None:
    """Take the first client over; labels that it adds go into `labels`.

    `elsewhere` says that another file has had a client: this is another machine's Promtail.
    """
    for client in tree.list() or [tree]:
        if not draft.has("loki.url"):
            _client(draft, client, labels)
        elif elsewhere:
            text = "its lines come to this forwarder now, and go where this one's go: there is one Loki"
            draft.note(client, f"{text}; run a second relay if that is another one", Fate.CHANGED)
        else:
            text = "not carried over: there is one Loki, and another client has its place"
            draft.note(client, f"{text}; run a second relay for this one")


def _client(draft: Draft, tree: Tree, labels: dict[str, str]) -> None:
    for key, child in tree.items():
        match key:
            case "url":
                _url(draft, child)
            case "basic_auth":
                _basic_auth(draft, child)
            case "bearer_token":
                _secret(draft, child, "loki.bearer_token_file", _TOKEN_FILE)
            case "authorization":
                _authorization(draft, child)
            case "tls_config":
                _tls(draft, child)
            case "backoff_config":
                _backoff(draft, child)
            case "external_labels":
                labels.update(child.texts())
                draft.note(child, "is labels.static", Fate.TAKEN)
            case "headers":
                draft.put("loki.headers", child.texts(), child)
            case _ if key in _TARGETS:
                _plain(draft, child, _TARGETS[key])
            case _:
                draft.note(child, f"not carried over: {_BY_DESIGN.get(key, 'no counterpart')}")


def _plain(draft: Draft, tree: Tree, target: str) -> None:
    value = tree.text()
    # Loki refuses more in one push, and says so with a 500; our own check would refuse it, too.
    if target == "relay.batch.size" and value.isdigit() and int(value) > 4 * 2**20:
        draft.set(target, "2MiB")
        draft.note(tree, "is relay.batch.size, and 2MiB: a Loki as it comes takes 4MiB in one push", Fate.CHANGED)
        return
    draft.put(target, value, tree)


def _url(draft: Draft, tree: Tree) -> None:
    url = tree.text()
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
    except ValueError:
        draft.put("loki.url", url, tree)
        return
    if user is not None:
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        draft.set("loki.basic_auth.username", user)
    old = parts.path
    if (path := old.rstrip("/")).endswith("/api/prom/push"):
        path = path.removesuffix("/api/prom/push") + _PUSH
    draft.put("loki.url", urlunsplit(parts._replace(path=path if old != "/" else old)), tree)
    if "/api/prom/push" in old:
        draft.note(
            tree, f"the path of Loki's old API became {_PUSH}: that is where a current Loki listens", Fate.CHANGED
        )
    elif old != path and old != "/":
        draft.note(tree, "the slash at the end of the path was removed: Loki answers 404 there", Fate.CHANGED)
    if password is not None:
        _secret(draft, tree, "loki.basic_auth.password_file", _PASSWORD_FILE)


def _secret(draft: Draft, tree: Tree, target: str, file: str) -> None:
    draft.set(target, file)
    text = f"the secret was not copied: put it into {file}, owned by the relay's user, mode 0600"
    draft.note(tree, text, Fate.ACTION)


def _basic_auth(draft: Draft, tree: Tree) -> None:
    for key, child in tree.items():
        if key in ("username", "password_file"):
            draft.put(f"loki.basic_auth.{key}", child.text(), child)
        elif key == "password":
            _secret(draft, child, "loki.basic_auth.password_file", _PASSWORD_FILE)
        else:
            draft.note(child, "not carried over: no counterpart")


def _authorization(draft: Draft, tree: Tree) -> None:
    kind = tree["type"].text() if "type" in tree else "Bearer"
    if kind.lower() != "bearer":
        draft.note(tree, f"not carried over: {kind} is not a kind of authorization that the relay knows")
        return
    for key, child in tree.items():
        if key == "credentials":
            _secret(draft, child, "loki.bearer_token_file", _TOKEN_FILE)
        elif key == "credentials_file":
            draft.put("loki.bearer_token_file", child.text(), child)


def _tls(draft: Draft, tree: Tree) -> None:
    names = ("ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify")
    versions = {"TLS12": "1.2", "TLS13": "1.3"}
    for key, child in tree.items():
        if key == "min_version" and child.text() in versions:
            draft.put("loki.tls.min_version", versions[child.text()], child)
        elif key in names:
            draft.put(f"loki.tls.{key}", child.flag() if key == "insecure_skip_verify" else child.text(), child)
        else:
            draft.note(child, "not carried over: certificates and keys stand in files of their own")


def _backoff(draft: Draft, tree: Tree) -> None:
    for key, child in tree.items():
        if key in ("min_period", "max_period"):
            draft.put(f"loki.backoff.{key[:3]}", child.text(), child)
        else:
            draft.note(child, "not carried over: the relay tries forever, nothing is dropped", Fate.CHANGED)


def server(draft: Draft, tree: Tree, http_address: str) -> None:
    """Take over the port of Promtail's own HTTP server, at the address that was asked for."""
    for key, child in tree.items():
        if key == "http_listen_port" and draft.has("relay.listen.http"):
            draft.note(child, "another Promtail's own endpoints: here there are one machine's", Fate.TAKEN)
        elif key == "http_listen_port" and child.text() != "0":
            draft.put("relay.listen.http", f"{http_address}:{child.text()}", child)
            text = f"/metrics and /status listen on {http_address} only; --http-address ADDRESS opens them to others"
            draft.note(child, text, Fate.CHANGED)
            if not is_loopback(http_address):
                draft.set("relay.http.from", list(_PRIVATE))
                draft.remark(child, "/metrics and /status are for private networks: relay.http.from", Fate.CHANGED)
        elif key == "log_level":
            draft.put("relay.log_level", {"warn": "warning"}.get(child.text(), child.text()), child)
        elif key == "http_listen_address":
            draft.note(child, f"not carried over: our own endpoints listen on {http_address}", Fate.CHANGED)
        elif key in ("http_listen_port", "grpc_listen_port") and child.text() == "0":
            draft.note(child, "it was off, and is", Fate.TAKEN)
        else:
            draft.note(child, "not carried over: no counterpart")
