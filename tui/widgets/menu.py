"""A screen with things to choose from, one below the other: Enter opens one, Esc goes back."""

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

if TYPE_CHECKING:
    from tui.app import Console


class Menu(Screen[None]):
    """Its choices are `PushButton`s."""

    AUTO_FOCUS = "PushButton"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]
    app: "Console"

    def action_leave(self) -> None:
        """Go back to where one came from."""
        self.dismiss()
