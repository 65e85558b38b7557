"""A pool as XAPI shows it over JSON-RPC: sessions, host records, maps that refuse a key twice, roles, offline hosts.

As api_server.ml does it: POST /jsonrpc, JSON-RPC 2.0, an error's `message` is XAPI's code and its
`data` the code's parameters. A host whose syslog is reconfigured writes its destination into a line of
rsyslog, as xe-syslog-reconfigure does, and sends a line there, for rsyslog restarts.
"""

import json
import re
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme

_TARGET = re.compile(r"(@@?)(?:\(o\))?(\[[^\]]+\]|[^:;]+)(?::(\d+))?")


class Refused(Exception):
    """A failure as XAPI reports it."""

    def __init__(self, code: str, *parameters: str) -> None:
        super().__init__(code)
        self.code, self.parameters = code, parameters


class PoolDouble:
    """A pool on a port of loopback; `names` are its hosts, those in `silent` send nothing."""

    def __init__(self, names: list[str], *, authority: trustme.CA, silent: tuple[str, ...] = ()) -> None:
        self.hosts: dict[str, dict[str, Any]] = {
            f"OpaqueRef:host-{number}": {
                "uuid": f"uuid-{number}", "name_label": name, "hostname": name, "address": f"192.0.2.{10 + number}",
                "enabled": True, "logging": {}, "other_config": {},
            }
            for number, name in enumerate(names)
        }  # fmt: skip
        self.silent = set(silent)
        self.offline: set[str] = set()
        self.sessions: set[str] = set()
        self.calls: list[str] = []
        self.slave_of = ""
        self.read_only = False
        self.remote_conf: dict[str, str] = {}
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != "/jsonrpc":
                    self.send_error(404)
                    return
                answer: dict[str, Any] = {"jsonrpc": "2.0", "id": body["id"]}
                try:
                    answer["result"] = double.dispatch(body["method"], list(body["params"]))
                except Refused as error:
                    answer["error"] = {"code": 1, "message": error.code, "data": list(error.parameters)}
                data = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate = authority.issue_cert("127.0.0.1")
        self.certificate.configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def dispatch(self, method: str, params: list[Any]) -> Any:
        self.calls.append(method)
        if method == "session.login_with_password":
            if self.slave_of:
                master, self.slave_of = self.slave_of, ""
                raise Refused("HOST_IS_SLAVE", master)
            if params[1] != "secret":
                raise Refused("SESSION_AUTHENTICATION_FAILED", params[0], "Authentication failure")
            session = f"OpaqueRef:session-{len(self.calls)}"
            self.sessions.add(session)
            return session
        session, *rest = params
        if session not in self.sessions:
            raise Refused("SESSION_INVALID", session)
        match method, rest:
            case "session.logout", []:
                self.sessions.discard(session)
                return ""
            case "host.get_all_records", []:
                return self.hosts
            case "host.add_to_logging" | "host.add_to_other_config", [ref, key, value]:
                self._may_write(method)
                place = self.hosts[ref][method.removeprefix("host.add_to_")]
                if key in place:
                    raise Refused("MAP_DUPLICATE_KEY", "host", method.removeprefix("host.add_to_"), ref, key)
                place[key] = value
                return ""
            case "host.remove_from_logging" | "host.remove_from_other_config", [ref, key]:
                self._may_write(method)
                self.hosts[ref][method.removeprefix("host.remove_from_")].pop(key, None)
                return ""
            case "host.syslog_reconfigure", [ref]:
                self._may_write(method)
                self._reconfigure(self.hosts[ref])
                return ""
        raise Refused("MESSAGE_METHOD_UNKNOWN", method)

    def _may_write(self, method: str) -> None:
        if self.read_only:
            raise Refused("RBAC_PERMISSION_DENIED", method, "No permission in user session")

    def _reconfigure(self, host: dict[str, Any]) -> None:
        name = host["name_label"]
        if name in self.offline:
            raise Refused("HOST_OFFLINE", host["uuid"])
        destination = host["logging"].get("syslog_destination", "")
        self.remote_conf[name] = f"*.* @{destination}\n" if destination else ""
        match = _TARGET.fullmatch(self.remote_conf[name][4:].partition(";")[0].strip())
        if match is None or name in self.silent:
            return
        kind = socket.SOCK_STREAM if match[1] == "@@" else socket.SOCK_DGRAM
        line = f"<46>1 2026-01-01T00:00:00Z {name} rsyslogd - - - start"
        framed = f"{len(line)} {line}" if kind == socket.SOCK_STREAM else line
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.connect((match[2].strip("[]"), int(match[3] or 514)))
            sock.sendall(framed.encode())
