"""The pages of docs/senders: one a kind, as `appliance sources KIND --format markdown` prints it, and a list."""

from pathlib import Path

from appliance.sources.forwarder import USUAL_PORTS, assumed
from appliance.sources.recipe import fill_in
from appliance.sources.register import kinds
from appliance.sources.render import as_markdown

DIRECTORY = Path(__file__).parents[3] / "docs" / "senders"
ADDRESS = "192.0.2.9"
_HEAD = (
    f"> The lines for a forwarder at {ADDRESS} with every listener at its usual port. "
    "`appliance sources {name}` prints them with your own.\n\n"
)


def pages() -> dict[str, str]:
    """Return each page's text by its file's name."""
    at = assumed(ADDRESS, dict(USUAL_PORTS))
    made = {f"{name}.md": _HEAD.format(name=name) + as_markdown(fill_in(kind, at)) for name, kind in kinds().items()}
    listed = "".join(f"- [{kind.title}]({name}.md)\n" for name, kind in kinds().items())
    made["README.md"] = f"# What can send here\n\n{listed}\nAny other sender of syslog will do, too.\n"
    return made


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for name, text in pages().items():
        (DIRECTORY / name).write_text(text)
