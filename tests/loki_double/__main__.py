"""`python -m tests.loki_double --port 0`: runs the double until stdin closes or a signal ends it.

Prints one line of JSON, `{"url": …, "control": …}`. The control address takes POST /control/VERB with
a JSON object of arguments: fault, clear, limits, count, lines, entries, streams, tally, stats, ready.
It is a port of its own, so that it answers while the other one refuses.
"""

import argparse
import base64
import json
import signal
import sys
from typing import Any

from tests.loki_double.double import InProcessLoki
from tests.loki_double.front import Front, Request, Response, json_response
from tests.loki_double.limits import Limits


class Control:
    def __init__(self, loki: InProcessLoki) -> None:
        self._loki = loki

    def handle(self, request: Request) -> Response:
        arguments: dict[str, Any] = json.loads(request.body or b"{}")
        verb = request.path.removeprefix("/control/")
        try:
            return json_response(self._do(verb, arguments))
        except (ValueError, TypeError) as error:
            return json_response({"error": str(error)}, 400)

    def _do(self, verb: str, arguments: dict[str, Any]) -> Any:
        loki = self._loki
        if verb == "fault":
            return loki.fault(**arguments)
        if verb == "clear":
            return loki.clear()
        if verb == "limits":
            return loki.set_limits(**arguments)
        if verb == "count":
            return loki.count(**arguments)
        if verb == "lines":
            return [base64.b64encode(line).decode() for line in loki.lines(**arguments)]
        if verb == "entries":
            return loki.entries(**arguments)
        if verb == "streams":
            return loki.streams()
        if verb == "tally":
            return loki.tally(**arguments).as_dict()
        if verb == "stats":
            return loki.stats()
        if verb == "ready":
            loki.double.ready = bool(arguments.get("ready", True))
            return None
        raise ValueError(f"no such verb: {verb}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.loki_double", description="A stand-in for Grafana Loki.")
    parser.add_argument("--port", type=int, default=0, help="port on loopback; 0: any free one")
    parser.add_argument("--multi-tenant", action="store_true", help="ask for X-Scope-OrgID")
    parser.add_argument("--limit", action="append", default=[], metavar="NAME=VALUE", help="as limits.Limits")
    options = parser.parse_args()
    limits = Limits()
    for setting in options.limit:
        name, _, value = setting.partition("=")
        limits.update(**{name: None if value == "None" else float(value) if "." in value else int(value)})
    loki = InProcessLoki(limits, port=options.port, multi_tenant=options.multi_tenant)
    control = Front(Control(loki))
    print(json.dumps({"url": loki.base_url, "control": control.base_url}), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if sys.stdin.isatty():
        signal.pause()
    else:
        sys.stdin.buffer.read()  # the process that started us is gone when this ends


if __name__ == "__main__":
    main()
