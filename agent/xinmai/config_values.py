"""Types of configuration values: how each is checked, and how it is written back as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from xinmai.quantities import format_bytes, format_duration, parse_bytes, parse_duration_ns
from xinmai.rules import RULE_FORM, parse_rule

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ValueType:
    """One kind of value.

    Args:
        allowed: what may be written, as an error message and the documentation say it.
        read: from what TOML gives to what the dataclass holds; raises ValueError or TypeError.
        plain: the inverse.
        from_text: what a text of the environment or a flag becomes before `read`.
    """

    allowed: str
    read: Callable[[Any], Any]
    plain: Callable[[Any], Any] = str
    from_text: Callable[[str], Any] = str

    def write(self, value: Any) -> str:
        """A value as TOML text."""
        return toml_text(self.plain(value))


def toml_text(value: Any) -> str:
    """A plain value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_text(entry) for entry in value)}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{_toml_key(key)} = {toml_text(entry)}" for key, entry in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key, re.ASCII) else toml_text(key)


def _only(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"got {toml_text(value)}")
    return value


def _same(value: Any) -> Any:
    return value


def _between(value: Any, low: Any, high: Any, show: Callable[[Any], str]) -> Any:
    if not low <= value <= high:
        raise ValueError(f"{show(value)} is not between {show(low)} and {show(high)}")
    return value


def number_from_text(text: str) -> Any:
    """An int or float where the text is one, else the text, which `read` then refuses."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def text() -> ValueType:
    """Any text."""
    return ValueType("a text", lambda value: _only(value, str))


def flag() -> ValueType:
    """True or false."""
    words = {"true": True, "false": False}
    return ValueType(
        "true or false",
        lambda value: _only(value, bool),
        bool,
        lambda value: words.get(value.lower(), value),
    )


def name() -> ValueType:
    """A part of a topic, WIRE-2."""

    def read(value: Any) -> str:
        if not NAME_PATTERN.fullmatch(_only(value, str)):
            raise ValueError(f"{value!r} does not fit a topic")
        return str(value)

    allowed = "1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter or digit"
    return ValueType(allowed, read)


def choice(*words: str) -> ValueType:
    """One of some words."""

    def read(value: Any) -> str:
        if _only(value, str) not in words:
            raise ValueError(f"got {value!r}")
        return str(value)

    return ValueType("one of " + ", ".join(f'"{word}"' for word in words), read)


def path() -> ValueType:
    """An absolute path; `~` is the home directory."""

    def read(value: Any) -> Path:
        if isinstance(value, Path):
            return value
        found = Path(_only(value, str)).expanduser()
        if not found.is_absolute():
            raise ValueError(f"{value!r} is relative")
        return found

    return ValueType("an absolute path", read, str, _from_here)


def optional_path() -> ValueType:
    """A path, or "" for none."""
    inner = path()
    return ValueType(
        'an absolute path, "" for none',
        lambda value: None if value in ("", None) else inner.read(value),
        lambda value: str(value or ""),
        lambda value: value and _from_here(value),
    )


def _from_here(value: str) -> Path:
    return Path.cwd() / Path(value).expanduser()


def period_ns(low: str, high: str) -> ValueType:
    """A duration in nanoseconds."""
    limits = parse_duration_ns(low), parse_duration_ns(high)

    def read(value: Any) -> int:
        return int(_between(parse_duration_ns(_only(value, str)), *limits, format_duration))

    allowed = f'a duration such as "100ms", or a rate such as "10Hz", from {low} to {high}'
    return ValueType(allowed, read, format_duration)


def seconds(low: str, high: str) -> ValueType:
    """A duration in whole seconds."""
    inner = period_ns(low, high)

    def read(value: Any) -> int:
        whole, rest = divmod(inner.read(value), 10**9)
        if rest:
            raise ValueError(f"{value} is not a whole number of seconds")
        return int(whole)

    allowed = f'a duration in whole seconds such as "30s", from {low} to {high}'
    return ValueType(allowed, read, lambda value: format_duration(value * 10**9))


def size_bytes(low: str, high: str) -> ValueType:
    """A size in bytes; a bare integer counts bytes."""
    limits = parse_bytes(low), parse_bytes(high)

    def read(value: Any) -> int:
        found = parse_bytes(value) if isinstance(value, str) else _only(value, int)
        return int(_between(found, *limits, format_bytes))

    allowed = f'a size such as "64MiB", from {low} to {high}'
    return ValueType(allowed, read, format_bytes, _size_text)


def _size_text(value: str) -> Any:
    return int(value) if value.isascii() and value.isdigit() else value


def integer(low: int, high: int) -> ValueType:
    """A whole number."""

    def read(value: Any) -> int:
        return int(_between(_only(value, int), low, high, str))

    return ValueType(f"a whole number from {low} to {high}", read, _same, number_from_text)


def number(low: float, high: float) -> ValueType:
    """A number with or without a fraction."""

    def read(value: Any) -> float:
        return float(
            _between(value if isinstance(value, float) else _only(value, int), low, high, str)
        )

    return ValueType(f"a number from {low} to {high}", read, _same, number_from_text)


def texts(entry: ValueType, example: str) -> ValueType:
    """A list; in the environment its entries are separated by commas."""

    def read(value: Any) -> tuple[str, ...]:
        if isinstance(value, tuple):
            value = list(value)
        return tuple(entry.read(part) for part in _only(value, list))

    def plain(value: Any) -> list[Any]:
        return [entry.plain(part) for part in value]

    return ValueType(
        f"a list such as {example}, each {entry.allowed}",
        read,
        plain,
        lambda value: [part.strip() for part in value.split(",") if part.strip()],
    )


def rule() -> ValueType:
    """A rule that begins a capture."""
    return ValueType(
        f'a rule such as "hw.power above 700": {RULE_FORM}',
        lambda value: parse_rule(_only(value, str)),
        lambda value: str(value.text),
    )


def broker_url() -> ValueType:
    """Where the broker listens; a password has no place in it."""

    def read(value: Any) -> str:
        parts = urlsplit(_only(value, str))
        if "@" in parts.netloc:
            raise ValueError("user and password belong in broker.username and broker.password_file")
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError(f"got {value!r}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"{value!r} has more than scheme, host and port")
        _ = parts.port
        return str(value)

    return ValueType('"mqtt://HOST[:1883]" or "mqtts://HOST[:8883]"', read)


def listen() -> ValueType:
    """HOST:PORT to listen on."""

    def read(value: Any) -> str:
        parts = urlsplit(f"//{_only(value, str)}")
        if not parts.hostname or parts.port is None or parts.netloc != value or "@" in value:
            raise ValueError(f"got {value!r}")
        return str(value)

    return ValueType('"HOST:PORT" such as "127.0.0.1:9470"; port 0 takes a free one', read)
