"""The guest's two consoles as a person has them, screen and serial line: what they show, and keys."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pyte

from tests.vm.machine import PATIENCE, GuestError, Machine

_NAMED = {
    " ": "spc", "\n": "ret", "-": "minus", "=": "equal", ".": "dot", ",": "comma", "/": "slash", ";": "semicolon",
    "'": "apostrophe", "[": "bracket_left", "]": "bracket_right", "\\": "backslash", "`": "grave_accent",
}  # fmt: skip
_SHIFTED = dict(zip('!@#$%^&*()_+{}|:"<>?~', "1234567890-=[]\\;',./`", strict=True))
_SERIAL = {
    "next": "\x0e", "test": "\x14", "help": "\x07", "back": "\x1b", "tab": "\t", "enter": "\r", "down": "\x1b[B",
    "space": " ", "clear": "\x15", "right": "\x1b[C",
}  # fmt: skip
_SCREEN = {
    "next": "f10", "test": "f5", "help": "f1", "back": "esc", "tab": "tab", "enter": "ret", "down": "down",
    "space": "spc", "clear": "ctrl-u", "right": "right",
}  # fmt: skip


class Console(Protocol):
    """Keys go by what they do: next, test, help, back, tab, enter, down, space, clear, right; others as named."""

    def text(self) -> str: ...
    def press(self, *keys: str) -> None: ...
    def type(self, text: str) -> None: ...


def wait_for(console: Console, words: str | Callable[[str], bool], timeout: float = PATIENCE) -> str:
    """Return what the console shows as soon as it has the words. Raise GuestError with the screen."""
    deadline = time.monotonic() + timeout
    found = (lambda text: words in text) if isinstance(words, str) else words
    while not found(text := console.text()):
        if time.monotonic() > deadline:
            raise GuestError(f"{words!r} did not come within {timeout:.0f} s:\n{text}")
        time.sleep(0.3)
    return text


def enter(console: Console, text: str, seen: Callable[[str], bool]) -> None:
    """Type a text into the field that has the focus until the console shows it: a slow guest drops keys."""
    for _ in range(4):
        console.type(text)
        try:
            wait_for(console, seen, 20)
            return
        except GuestError:
            console.press("clear")
            time.sleep(2)
    raise GuestError(f"{text!r} cannot be typed:\n{console.text()}")


def go_down_to(console: Console, hint: str, key: str = "down") -> None:
    """Press a key that leads from field to field until the line of hints is that of the one that is meant."""
    for _ in range(20):
        hints = _hints(console)
        if any(line.strip().startswith(hint) for line in hints):
            return
        console.press(key)
        # Not the next before this one shows: a slow guest would be led too far. Two fields may have the same hints.
        deadline = time.monotonic() + 5
        while _hints(console) == hints and time.monotonic() < deadline:
            time.sleep(0.3)
    raise GuestError(f"the keys do not lead to {hint!r}:\n{console.text()}")


def _hints(console: Console) -> list[str]:
    return console.text().splitlines()[-5:]


class Screen:
    """The virtual machine's own screen and keyboard; pictures of it are kept in a directory."""

    def __init__(self, machine: Machine, pictures: Path) -> None:
        self.machine, self.pictures = machine, pictures
        pictures.mkdir(parents=True, exist_ok=True)
        self._number = 0

    def text(self) -> str:
        return self.machine.screen_text()

    def press(self, *keys: str) -> None:
        self.machine.press(*(_SCREEN.get(key, key) for key in keys))

    def type(self, text: str) -> None:
        for character in text:
            plain = _SHIFTED.get(character, character.lower())
            shift = "shift-" if plain != character else ""
            self.machine.press(shift + _NAMED.get(plain, plain))

    def picture(self, name: str) -> Path:
        """Keep a picture of the screen, numbered in the order in which they are taken."""
        self._number += 1
        return self.machine.screen(self.pictures / f"{self._number:02}-{name}.png")


class SerialLine:
    """A terminal of 80 by 24 at the first serial port."""

    def __init__(self, machine: Machine) -> None:
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(str(machine.serial_path))
        self._line.settimeout(0.2)

    def text(self) -> str:
        try:
            while received := self._line.recv(65536):
                self._stream.feed(received)
        except TimeoutError:
            pass
        return "\n".join(line.rstrip() for line in self._screen.display)

    def press(self, *keys: str) -> None:
        for key in keys:
            self._line.sendall(_SERIAL.get(key, key).encode())
            time.sleep(0.05)

    def type(self, text: str) -> None:
        # A person types, and a port has no flow control: not everything at once.
        for character in text:
            self._line.sendall(character.encode())
            time.sleep(0.01)

    def close(self) -> None:
        self._line.close()
