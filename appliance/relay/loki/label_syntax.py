"""Stream labels as text: `{name="value", …}` read as Loki reads it, written as Go's %q writes it.

Pure functions. Which labels an entry gets is decided elsewhere (labels.py for syslog); limits on
their number and length are the sender's.
Source: Prometheus' promql.ParseMetric and strutil.Unquote, Go's strconv.Quote.
"""

import re
from collections.abc import Iterable, Mapping

_PAIR = r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\n]*)"'
_SIMPLE_PAIR = re.compile(_PAIR)
_SIMPLE = re.compile(r"\{(?:" + _PAIR + "(?:, ?" + _PAIR + r")*,?)?\}")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
_QUOTED = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
           "\\": "\\\\", '"': '\\"'}  # fmt: skip
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}


class LabelSyntaxError(ValueError):
    """Text that is no label set; the message has Loki's form, `1:5: parse error: …`."""


def parse_labels(text: str) -> dict[str, str]:
    """Return labels of `{name="value", …}`, without those whose value is empty. Raise LabelSyntaxError."""
    if _SIMPLE.fullmatch(text):
        pairs = _SIMPLE_PAIR.findall(text)
        labels = dict(pairs)
        if len(labels) == len(pairs):
            return {name: value for name, value in labels.items() if value}
    return _Parser(text).labels()


def format_labels(labels: Mapping[str, str]) -> str:
    """Sorted by name, quoted: the one spelling of a stream, as Promtail and Loki write it."""
    return join_pairs([format_pair(name, labels[name]) for name in sorted(labels)])


def format_pair(name: str, value: str) -> str:
    """`name="value"`."""
    return f"{name}={quote(value)}"


def join_pairs(pairs: Iterable[str]) -> str:
    """Return labels of pairs that are in order."""
    return "{" + ", ".join(pairs) + "}"


def quote(value: str) -> str:
    """As Go's strconv.Quote. Lone surrogates become U+FFFD: a label value is always valid UTF-8."""
    # Printable ASCII is left alone by %q. Looked at this way because it costs a third of an expression.
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    return '"' + "".join(map(_quote_character, value)) + '"'


def _quote_character(character: str) -> str:
    if character in _QUOTED:
        return _QUOTED[character]
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        return "\N{REPLACEMENT CHARACTER}"
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Parser:
    """Descent through one label set, with the position for the error message."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = {}
        self._space()
        if self._next() not in ("", "{"):  # promql's `name{…}`
            labels["__name__"] = self._name()
            self._space()
            if not self._next():
                return labels
        self._expect("{", "unexpected end of input" if not self._next() else f"unexpected character: {self._next()!r}")
        self._space()
        while self._next() != "}":
            start = self._at
            name = self._name()
            self._space()
            self._expect("=", f'unexpected {self._shown()} in label set, expected "="')
            self._space()
            value = self._string()
            if name in labels:
                raise self._error(f"duplicate label name {name!r}", start)
            labels[name] = value
            self._space()
            if self._next() == "}":
                break
            self._expect(",", f'unexpected {self._shown()} in label set, expected "," or "}}"')
            self._space()
        self._at += 1
        self._space()
        if self._at < len(self._text):
            raise self._error(f"unexpected {self._shown()}")
        return {name: value for name, value in labels.items() if value}

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _shown(self) -> str:
        return f"character inside braces: {self._next()!r}" if self._next() else "end of input inside braces"

    def _space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _expect(self, character: str, otherwise: str) -> None:
        if self._next() != character:
            raise self._error(otherwise)
        self._at += 1

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if not match:
            raise self._error(f"unexpected {self._shown()}")
        self._at = match.end()
        following = self._next()
        if following and following not in "={ \t\r\n#":
            raise self._error(f"unexpected {self._shown()}")
        return match[0]

    def _string(self) -> str:
        """Return a string in double, single or back quotes; escapes as Go's, `\\xff` being a byte."""
        text, delimiter, start = self._text, self._next(), self._at
        if delimiter not in ('"', "'", "`") or not delimiter:
            raise self._error(f"unexpected {self._shown()} in label set, expected string")
        at = start + 1
        value = bytearray()
        while True:
            character = text[at : at + 1]
            if not character or (character == "\n" and delimiter != "`"):
                raise self._error("unterminated quoted string", start)
            if character == delimiter:
                break
            if character == "\\" and delimiter != "`":
                at = self._escape(at + 1, delimiter, value)
            else:
                value += character.encode(errors="replace")
                at += 1
        self._at = at + 1
        return value.decode(errors="replace")

    def _escape(self, at: int, delimiter: str, value: bytearray) -> int:
        text, letter = self._text, self._text[at : at + 1]
        if letter == delimiter:
            value += letter.encode()
            return at + 1
        if letter in _ESCAPES:
            value.append(_ESCAPES[letter])
            return at + 1
        if letter in _HEX_DIGITS:
            end = at + 1 + _HEX_DIGITS[letter]
            digits, base = text[at + 1 : end], 16
        elif letter and letter in "01234567":
            end = at + 3
            digits, base = text[at:end], 8
        else:
            raise self._error("unknown escape sequence", at)
        allowed = "0123456789abcdefABCDEF" if base == 16 else "01234567"
        if len(digits) != end - at - (base == 16) or any(digit not in allowed for digit in digits):
            raise self._error("illegal character in escape sequence", at)
        code = int(digits, base)
        if letter in ("u", "U"):
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise self._error("escape sequence is an invalid Unicode code point", at)
            value += chr(code).encode()
        elif code > 255:
            raise self._error("escape sequence is no byte", at)
        else:
            value.append(code)
        return end

    def _error(self, problem: str, at: int | None = None) -> LabelSyntaxError:
        at = self._at if at is None else at
        line = self._text.count("\n", 0, at) + 1
        column = at - (self._text.rfind("\n", 0, at) + 1) + 1
        return LabelSyntaxError(f"{line}:{column}: parse error: {problem}")
