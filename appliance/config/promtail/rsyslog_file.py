"""The rsyslog drop-in that fed Promtail: which ports it opened, and where it sent what came.

Reads RainerScript's objects and the legacy directives for the same; anything else is noted. Pure.
Source: rsyslog's documentation of imudp, imtcp, imptcp, imrelp and omfwd.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from appliance.config.promtail.notes import Draft, Fate, Note
from appliance.config.promtail.syslog import Job

_OBJECT = re.compile(r"\b(module|input|action|ruleset|global|template|main_queue|parser|include)\s*\(", re.IGNORECASE)
_PARAMETER = re.compile(r"([\w.]+)\s*=\s*\"((?:[^\"\\]|\\.)*)\"")
_LEGACY_INPUT = re.compile(r"^\$(UDPServerRun|InputTCPServerRun|InputPTCPServerRun|InputRELPServerRun)\s+(\d+)", re.I)
_LEGACY_FORWARD = re.compile(r"^(\S+)\s+(@@?)(\([^)]*\))?(\[[^\]]+\]|[^:;\s]+)(?::(\d+))?(?:;(\S+))?\s*$")
_LEGACY = {"udpserverrun": "udp", "inputtcpserverrun": "tcp", "inputptcpserverrun": "tcp", "inputrelpserverrun": "relp"}
_INPUTS = {"imudp": "udp", "imtcp": "tcp", "imptcp": "tcp", "imrelp": "relp"}
_LOCAL = ("localhost", "127.0.0.1", "::1", "[::1]")


@dataclass(frozen=True, slots=True)
class Statement:
    """One object or directive: its kind, its parameters, its line, and the ruleset that it stands in."""

    kind: str
    parameters: dict[str, str]
    line: int
    ruleset: str = ""


@dataclass(slots=True)
class RsyslogFile:
    """What a file says: inputs, forwards, and the lines that nothing here understands."""

    source: str
    inputs: list[Statement] = field(default_factory=list)
    forwards: list[Statement] = field(default_factory=list)
    others: list[tuple[int, str]] = field(default_factory=list)
    certificates: dict[str, str] = field(default_factory=dict)


def read_rsyslog(text: str, source: str) -> RsyslogFile:
    """Return what a file of rsyslog says. Never raises: what is not understood is in `others`."""
    found = RsyslogFile(source)
    plain = "\n".join(_without_comment(line) for line in text.splitlines())
    rest = list(plain)
    tls_modules: set[str] = set()
    for statement, begin, end in _objects(plain):
        for position in range(begin, end):
            if rest[position] != "\n":
                rest[position] = " "
        _sort_in(found, statement, tls_modules)
    for number, line in enumerate("".join(rest).splitlines(), 1):
        if (line := line.strip("{} \t")) and not _legacy(found, line, number):
            found.others.append((number, line))
    if tls_modules:
        found.inputs = [
            Statement(item.kind, {**item.parameters, "tls": "on"}, item.line, item.ruleset)
            if item.parameters.get("type") in tls_modules
            else item
            for item in found.inputs
        ]
    return found


def _sort_in(found: RsyslogFile, statement: Statement, tls_modules: set[str]) -> None:
    parameters = statement.parameters
    match statement.kind:
        case "input" if parameters.get("type", "").lower() in _INPUTS:
            found.inputs.append(statement)
        case "action" if parameters.get("type", "").lower() in ("omfwd", "omrelp"):
            found.forwards.append(statement)
        case "module":
            if parameters.get("streamdriver.mode") == "1":
                tls_modules.add(parameters.get("load", "").lower())
        case "ruleset":
            pass
        case "global":
            found.certificates |= {
                key.removeprefix("defaultnetstreamdriver"): value
                for key, value in parameters.items()
                if key.startswith("defaultnetstreamdriver") and key.endswith("file")
            }
        case _:
            found.others.append((statement.line, f"{statement.kind}({parameters.get('type', '')}…)"))


def _legacy(found: RsyslogFile, line: str, number: int) -> bool:
    """Read one line of the older form; return whether it was understood."""
    if (match := _LEGACY_INPUT.match(line)) is not None:
        kind = _LEGACY[match[1].lower()]
        module = next(name for name, value in _INPUTS.items() if value == kind)
        found.inputs.append(Statement("input", {"type": module, "port": match[2]}, number))
        return True
    if (match := _LEGACY_FORWARD.match(line)) is not None:
        parameters = {
            "type": "omfwd",
            "target": match[4],
            "port": match[5] or "514",
            "protocol": "tcp" if match[2] == "@@" else "udp",
            "template": match[6] or "",
        }
        found.forwards.append(Statement("action", parameters, number))
        return True
    return line.lower().startswith("$modload ")


def feed(draft: Draft, file: RsyslogFile, jobs: list[Job]) -> None:
    """Open what the file opened, for the jobs that it fed; note everything else in it."""

    def note(line: int, path: str, text: str, fate: Fate = Fate.UNSUPPORTED) -> None:
        draft.notes.append(Note(line, path, text, fate, file.source))

    fed: dict[str, list[Job]] = {}
    for forward in file.forwards:
        target, port = forward.parameters.get("target", ""), forward.parameters.get("port", "514")
        reached = [job for job in jobs if target.lower() in _LOCAL and str(job.port) == port]
        if not reached:
            what = f"forwards to {target}:{port}, which is none of the jobs given"
            note(forward.line, "action", f"not carried over: {what}")
            continue
        # It fed the Promtail beside it, the first one given; another with the same port is another machine's.
        reached = [job for job in reached if job.tree.source == reached[0].tree.source]
        fed.setdefault(forward.ruleset, []).extend(reached)
        note(forward.line, "action", "not needed any more: rsyslog here forwards to the relay by itself", Fate.TAKEN)
        if forward.parameters.get("template", "") not in ("RSYSLOG_SyslogProtocol23Format",):
            text = "lines were rewritten by a template on their way; here they are read as they were sent"
            note(forward.line, "action.template", text, Fate.CHANGED)
    for item in file.inputs:
        _open(draft, item, fed, note, file)
    for line, text in file.others:
        note(line, "", f"not carried over: {text[:60]}")


def _open(draft: Draft, item: Statement, fed: dict[str, list[Job]], note: Any, file: RsyslogFile) -> None:
    parameters = item.parameters
    name = _INPUTS[parameters["type"].lower()]
    if parameters.get("tls") == "on" or parameters.get("streamdriver.mode") == "1":
        name = "relp_tls" if name == "relp" else "tls"
    path, port = f"input({parameters['type']})", parameters.get("port", "514")
    if not port.isdigit() or not 0 < int(port) < 65536:
        note(item.line, path, f"not carried over: {port} is not a port")
        return
    if draft.has(f"listeners.{name}.port") and draft.made["listeners"][name]["port"] != int(port):
        has = draft.made["listeners"][name]["port"]
        note(
            item.line, path, f"not carried over: listeners.{name} has one port, {has}; let senders of {port} send there"
        )
        return
    draft.set(f"listeners.{name}.port", int(port))
    if "address" in parameters:
        draft.set(f"listeners.{name}.address", parameters["address"])
    if name in ("tls", "relp_tls") and {"certfile", "keyfile"} <= set(file.certificates):
        kinds = [kind for kind in ("cert", "key", "ca") if f"{kind}file" in file.certificates]
        draft.set(f"listeners.{name}.tls", {f"{kind}_file": file.certificates[f"{kind}file"] for kind in kinds})
    note(item.line, path, f"is listeners.{name}, port {port}", Fate.TAKEN)
    reached = fed.get(item.parameters.get("ruleset", ""), [])
    if not reached and fed:
        note(item.line, path, "its ruleset did not send to Promtail; here everything goes to Loki", Fate.CHANGED)
    for job in reached:
        job.inputs += (name,)
    for key in sorted(set(parameters) - {"type", "port", "address", "ruleset", "tls", "streamdriver.mode"}):
        note(item.line, f"{path}.{key}", "not carried over: no counterpart")


# ---- text -----------------------------------------------------------------------------------


def _without_comment(line: str) -> str:
    """Return a line without its comment; a # within quotes is none."""
    quoted = False
    for position, character in enumerate(line):
        if character == '"' and (not position or line[position - 1] != "\\"):
            quoted = not quoted
        elif character == "#" and not quoted:
            return line[:position]
    return line


def _objects(text: str) -> Iterator[tuple[Statement, int, int]]:
    """Yield each object with where it begins and ends; those in a ruleset's braces know its name."""
    rulesets: list[tuple[int, int, str]] = []
    for match in _OBJECT.finditer(text):
        end = _closing(text, match.end() - 1)
        inside = text[match.end() : end - 1]
        parameters = {key.lower(): value for key, value in _PARAMETER.findall(inside)}
        line = text.count("\n", 0, match.start()) + 1
        kind = match[1].lower()
        if kind == "ruleset":
            brace = text.find("{", end)
            if brace >= 0 and not text[end:brace].strip():
                rulesets.append((brace, _closing(text, brace), parameters.get("name", "")))
        within = next((name for begin, stop, name in rulesets if begin < match.start() < stop), "")
        yield Statement(kind, parameters, line, within), match.start(), end


def _closing(text: str, opening: int) -> int:
    """Return the position after what closes the bracket at `opening`, or the end of the text."""
    pair = {"(": ")", "{": "}"}[text[opening]]
    depth, quoted = 0, False
    for position in range(opening, len(text)):
        character = text[position]
        if character == '"' and text[position - 1] != "\\":
            quoted = not quoted
        elif quoted:
            continue
        elif character == text[opening]:
            depth += 1
        elif character == pair:
            depth -= 1
            if depth == 0:
                return position + 1
    return len(text)
