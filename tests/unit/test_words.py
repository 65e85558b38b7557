"""Plain words: what readers stumbled over does not come back into code, documents or tests.

The glossary in short: fix or repair (not mend), active or applied (not in force), rolled back (not taken back),
previous configuration (not the state before), report or show (not tell how it is), drop (not give up), American
spelling. A word that is right in one place is allowed by file and line's text.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("appliance", "tui", "image", "bench", "tests", "docs", "build.sh", "*.md")
SUFFIXES = (".py", ".pxd", ".j2", ".md", ".sh", ".tcss", ".service", ".timer", ".yaml", ".conf", "")
SKIPPED = ("appliance/relay/hot.c", "appliance/relay/hot/", "tests/unit/test_words.py")

WORSE = {
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"(?:puts? )?in force": "active, apply",
    r"(?:taken|takes|take|goes|going) (?:it )?back (?:to before|as it was)|taken back": "rolled back, reverted",
    r"ways? back": "rollback, undo",
    r"tells? how it is|how it is": "reports, state",
    r"supporters?": "support",
    r"hand(?:s|ed)? on": "forwards, passes",
    r"bur(?:y|ied|ies)": "dead-lettered",
    r"set-up": "setup",
    r"(?:is|has|have) to be right": "must be correct",
    r"parcels?|errands?|cargo": "push request, slice",
    r"what is wrong": "problems, errors",
    r"taken for|taken to be": "treated as",
    r"giv(?:e|es|ing|en) up": "drop, abandon",
    r"the state before": "previous configuration",
    r"lest": "so that … not",
    r"anew": "again, reload",
    r"waits to be confirmed": "is waiting for confirmation",
    r"whoever": "anyone who, those who",
    r"time stamps?": "timestamp",
    r"behaviour|colours?|labelled|neighbours?|licence|honour\w*|favour\w*|catalogue": "American spelling",
    r"\w*(?:authori|synchroni|normali|recogni|initiali|seriali|organi|minimi|summari|virtuali|categori)s(?:e|ed|es|ing|ation)":
        "American spelling: -ize",
}  # fmt: skip
_WORSE = {re.compile(rf"(?<![\w`-])(?:{words})(?![\w-])", re.IGNORECASE): better for words, better in WORSE.items()}

ALLOWED = {
    # librelp itself, and what it does
    "appliance/relay/listen/acknowledgements.py": "librelp gives up",
}


def _files() -> list[str]:
    """Return the tracked files that people read."""
    listed = subprocess.run(["git", "ls-files", *PLACES], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if Path(name).suffix in SUFFIXES and not name.startswith(SKIPPED)]


def _worse(text: str, allowed: str = "") -> list[str]:
    """Return the words in a text that have better ones, each with its line and the better ones."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if allowed and allowed in line:
            continue
        for words, better in _WORSE.items():
            if match := words.search(line):
                found.append(f"{number}: {match[0]!r}: better {better}")
    return found


@pytest.mark.parametrize("text", ["how to mend it", "Generation 3 is in force.", "the set-up", "what is wrong: this"])
def test_a_worse_word_is_found(text: str) -> None:
    assert len(_worse(text)) == 1


@pytest.mark.parametrize("text", ["a recommendation", "amend the file", "reinforce", "dead_letters_given_up", "`anew`"])
def test_a_word_within_another_or_a_name_is_none(text: str) -> None:
    assert _worse(text) == []


def test_code_documents_and_tests_use_plain_words() -> None:
    found = []
    for name in _files():
        text = (ROOT / name).read_text(errors="replace")
        found += [f"{name}:{each}" for each in _worse(text, ALLOWED.get(name, ""))]
    assert found == []
