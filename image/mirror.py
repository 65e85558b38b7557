"""Where packages come from: the build machine's own apt configuration, one-line and deb822.

Reads sources, changes nothing. The image is made from the mirrors the build machine itself uses, as
someone behind a local mirror expects; options override them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$")


@dataclass(frozen=True, slots=True)
class Source:
    """One archive of apt's configuration."""

    uri: str
    suite: str
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mirrors:
    """URLs of Debian's archive and of its security archive."""

    main: str
    security: str


DEFAULT = Mirrors("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")


def parse_one_line(text: str) -> Iterator[Source]:
    """Sources of a `sources.list` (one line each; sources.list(5))."""
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.split("#")[0].strip()):
            yield Source(match[1].rstrip("/"), match[2], tuple(match[3].split()))


def parse_deb822(text: str) -> Iterator[Source]:
    """Sources of a `.sources` file (paragraphs of fields; sources.list(5))."""
    for paragraph in re.split(r"\n[ \t]*\n", "\n".join(x for x in text.splitlines() if not x.startswith("#"))):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line[:1] in " \t" and key:
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri.rstrip("/"), suite, tuple(fields.get("components", "").split()))


def read_sources(etc_apt: Path = Path("/etc/apt")) -> list[Source]:
    """Return all enabled archives of this machine."""
    sources: list[Source] = []
    for path in [etc_apt / "sources.list", *sorted(etc_apt.glob("sources.list.d/*.list"))]:
        if path.is_file():
            sources += parse_one_line(path.read_text(errors="replace"))
    for path in sorted(etc_apt.glob("sources.list.d/*.sources")):
        sources += parse_deb822(path.read_text(errors="replace"))
    return sources


def own_mirrors(sources: list[Source], release: str) -> Mirrors:
    """Return what the sources say of `release`; without a security archive there, the one beside the main one.

    Some mirrors serve security updates only as `debian-security` next to `debian`. A machine of
    another release or distribution says nothing of ours: then Debian's own.
    """
    main = next((s.uri for s in sources if s.suite == release and "main" in s.components), None)
    security = next((s.uri for s in sources if s.suite == f"{release}-security"), None)
    if main is None:
        return DEFAULT if security is None else Mirrors(DEFAULT.main, security)
    return Mirrors(main, security or beside(main))


def beside(main: str) -> str:
    """Return the security archive next to a main archive: `…/debian` → `…/debian-security`."""
    return re.sub(r"/debian/?$", "", main) + "/debian-security"
