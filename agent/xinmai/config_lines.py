"""Where each key of a TOML file stands: `tomllib` gives values without lines.

The scanner runs after `tomllib` has accepted the text, so it only needs to keep its footing in
strings, comments and brackets; it never judges.
"""

from __future__ import annotations

import re
import tomllib

KeyPath = tuple[str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}#\r\n]*")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The 1-based line where each key first stands, tables and their parents included."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted_to = 0
        self._line = 1
        self._lines: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self._text):
            if self._peek("["):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> KeyPath:
        while self._peek("["):
            self._at += 1
        table = self._key(())
        while self._peek("]"):
            self._at += 1
        return table

    def _pair(self, table: KeyPath) -> None:
        path = self._key(table)
        self._at += 1  # the equals sign
        self._value(path)

    def _key(self, parent: KeyPath) -> KeyPath:
        path = parent
        while True:
            self._skip(_SPACE)
            line = self._line_here()
            path = (*path, self._word())
            self._lines.setdefault(path, line)
            self._skip(_SPACE)
            if not self._peek("."):
                return path
            self._at += 1

    def _word(self) -> str:
        start = self._at
        if self._text[start] in "\"'":
            self._string()
            quoted = self._text[start : self._at]
            return quoted[1:-1] if quoted[0] == "'" else _unquote(quoted)
        self._skip(_BARE)
        return self._text[start : self._at]

    def _value(self, path: KeyPath) -> None:
        self._skip(_SPACE)
        first = self._text[self._at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._items("]", path)
        elif first == "{":
            self._items("}", path)
        else:
            self._skip(_SCALAR)

    def _items(self, end: str, path: KeyPath) -> None:
        self._at += 1
        while True:
            self._skip(_BLANK)
            if self._peek(end):
                break
            if self._peek(","):
                self._at += 1
            elif end == "}":
                self._pair(path)
            else:
                self._value(path)
        self._at += 1

    def _string(self) -> None:
        quote = self._text[self._at]
        long = self._text.startswith(quote * 3, self._at)
        end = quote * 3 if long else quote
        self._at += len(end)
        while not self._text.startswith(end, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += len(end)
        while long and self._peek(quote):  # up to two quotes may stand before the closing three
            self._at += 1

    def _peek(self, char: str) -> bool:
        return self._text.startswith(char, self._at)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line


def _unquote(quoted: str) -> str:
    return str(tomllib.loads(f"key = {quoted}")["key"])


_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)$")


def syntax_error(error: tomllib.TOMLDecodeError, text: str) -> tuple[str, int]:
    """Message and line of what `tomllib` refused; at the end of the text its last line."""
    message = str(error)
    match = _AT_LINE.search(message)
    if match:
        return message[: match.start()], int(match[1])
    return message.removesuffix(" (at end of document)"), text.rstrip("\n").count("\n") + 1
