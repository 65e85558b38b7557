"""The three words that every part of the appliance judges with: OK, WARNING, CRITICAL. No I/O.

Console, status, check, apply and support all take them from here, so that one state has one name.
"""

from typing import Literal

State = Literal["green", "amber", "red"]
Word = Literal["OK", "WARNING", "CRITICAL"]

OF_STATE: dict[State, Word] = {"green": "OK", "amber": "WARNING", "red": "CRITICAL"}
OF_FINDING: dict[bool | None, Word] = {True: "OK", None: "WARNING", False: "CRITICAL"}
"""Of what one step of a check found: `ok` None is doubtful and keeps nothing from working."""
WIDTH = max(map(len, OF_STATE.values()))
