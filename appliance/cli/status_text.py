"""What `appliance status` shows. Light: nothing heavy is imported, not even the command line's library."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from appliance.host.layout import Layout
from appliance.host.status.facts import Facts
from appliance.host.status.gather import gather
from appliance.host.status.verdict import Verdict, judge
from appliance.severity import OF_STATE

FORMAT = 1
_COLORS = {"green": "\033[32m", "amber": "\033[33m", "red": "\033[1;31m"}


def show(*, as_json: bool = False, watch: bool = False, interval: float = 2.0, root: Path = Path("/")) -> int:
    """Print the verdict, again every `interval` seconds when watching. Return the exit code."""
    while True:
        facts = gather(Layout(root.absolute()))
        verdict = judge(facts)
        if as_json:
            sys.stdout.write(json.dumps(as_plain(facts, verdict), ensure_ascii=False) + "\n")
        else:
            before = "" if not watch else "\033[H\033[2J" if sys.stdout.isatty() else _separator(facts.now)
            sys.stdout.write(before + as_text(facts, verdict, color=_wants_color()) + "\n")
        sys.stdout.flush()
        if not watch:
            return verdict.exit_code
        time.sleep(interval)


def as_plain(facts: Facts, verdict: Verdict) -> dict[str, Any]:
    """Return what --json prints. Names are stable: keys may come, none is renamed or goes."""
    relay = facts.relay or {}
    return {
        "format": FORMAT,
        "version": facts.version,
        "time": round(facts.now, 3),
        "hostname": facts.hostname,
        "addresses": list(facts.addresses),
        "state": verdict.state,
        "verdict": verdict.word,
        "headline": verdict.headline,
        "parts": [asdict(part) for part in verdict.parts],
        "generation": facts.generation,
        "unconfirmed_until": facts.unconfirmed_until,
        "certificates": [{"name": c.name, "path": c.path, "not_after": c.not_after} for c in facts.certificates],
        "relay": relay or None,
    }


def as_text(facts: Facts, verdict: Verdict, *, color: bool) -> str:
    """Return the verdict for people: the cause first, then part by part, remedies below what is ill."""

    def paint(state: str, text: str) -> str:
        return f"{_COLORS[state]}{text}\033[0m" if color else text

    lines = [
        f"{facts.hostname}  {', '.join(facts.addresses) or 'no address'}",
        paint(verdict.state, f"{verdict.word}: {verdict.headline}"),
        "",
    ]
    width = max(len(OF_STATE[part.state]) for part in verdict.parts)
    for part in verdict.parts:
        lines.append(f"{paint(part.state, f'{OF_STATE[part.state]:{width}}')}  {part.name:14} {part.summary}")
        if part.cause:
            lines.append(f"{'':{width}}  {'':14} {part.cause}")
        if part.remedy:
            lines.append(f"{'':{width}}  {'':14} -> {part.remedy}")
    if not facts.as_root:
        lines += ["", "Some things only root can see: sudo appliance status"]
    return "\n".join(lines)


def _separator(now: float) -> str:
    """Return what stands before each look that goes into a pipe or a file."""
    return time.strftime("--- %Y-%m-%d %H:%M:%S%z ---\n", time.localtime(now))


def _wants_color() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
