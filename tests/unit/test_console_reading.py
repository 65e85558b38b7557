"""Help is as wide as the screen, and no second column breaks back to the margin."""

import pytest

from tui.dashboard.screen import HELP
from tui.pages import BY_NAME
from tui.widgets.reading import fit, flow
from tui.wizard.page import MOVING

WIDTH = 77  # of a screen of 80: a margin at each side, and the scroll bar
HELPS = {"dashboard": HELP} | {name: page.HELP + MOVING for name, page in BY_NAME.items()}


@pytest.mark.parametrize("name", HELPS)
def test_help_fits_a_screen_of_80_with_its_columns(name: str) -> None:
    text = HELPS[name].strip()
    rows = flow(text, WIDTH).splitlines()
    assert all(len(row) <= WIDTH for row in rows)
    assert flow(text, WIDTH).split() == text.split(), "not a word is lost"


def test_the_second_column_stays_a_column_on_any_width() -> None:
    text = "TLS    for senders outside your own network. A certificate\n       is made for you.\n\nProse that\ngoes on."
    assert flow(text, 200) == (
        "TLS    for senders outside your own network. A certificate is made for you.\n\nProse that goes on."
    )
    assert flow(text, 30).splitlines()[:4] == [
        "TLS    for senders outside", "       your own network. A", "       certificate is made for", "       you.",
    ]  # fmt: skip


def test_a_log_line_that_is_too_long_goes_on_and_short_ones_are_left_alone() -> None:
    assert fit("a b\n  c", 40) == "a b\n  c"
    assert fit("word " * 20, 30).count("\n") == 3
