"""Strict reading of a plugin's TOML files: each key taken once, whatever is left over refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from xinmai.errors import PluginError
from xinmai.quantities import parse_duration_ns

T = TypeVar("T")


def read_toml(file: Path) -> dict[str, Any]:
    """Parse a file of a plugin.

    Raises:
        PluginError: it is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PluginError(f"{file}: {error}") from error


class Table:
    """One TOML table whose keys must all be known.

    Args:
        place: dotted place in the file, "" for its top.
    """

    def __init__(self, file: Path, place: str, data: Mapping[str, Any]) -> None:
        self.file, self.place = file, place
        self._left = dict(data)

    def fail(self, key: str, why: str) -> PluginError:
        """The error to raise about a key of this table."""
        where = ".".join(part for part in (self.place, key) if part)
        return PluginError(f"{self.file}: {where}: {why}")

    def has(self, key: str) -> bool:
        """Whether a key is there and not taken yet."""
        return key in self._left

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        """The value of a key, of exactly this type; None as default makes the key a must.

        Raises:
            PluginError: it is missing or of another type.
        """
        if key not in self._left:
            if default is None:
                raise self.fail(key, f"missing; it is a {kind.__name__}")
            return default
        value = self._left.pop(key)
        if type(value) is not kind:
            raise self.fail(key, f"{value!r} is no {kind.__name__}")
        return value

    def take_any(self, key: str, default: Any = None) -> Any:
        """The value of a key of any type."""
        return self._left.pop(key, default)

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings, empty where the key is missing."""
        values = self.take(key, list, [])
        if not all(isinstance(value, str) and value for value in values):
            raise self.fail(key, f"{values!r} is no list of strings")
        return tuple(values)

    def one_of(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """A string out of a few."""
        value = self.take(key, str, default)
        if value not in allowed:
            raise self.fail(key, f"{value!r} is none of {', '.join(allowed)}")
        return value

    def duration_ns(self, key: str) -> int | None:
        """A duration in nanoseconds, None where the key is missing."""
        if not self.has(key):
            return None
        try:
            return parse_duration_ns(self.take(key, str))
        except ValueError as error:
            raise self.fail(key, str(error)) from error

    def tables(self) -> list[tuple[str, Table]]:
        """Every key left, each of which must be a table itself."""
        found = [(key, self._sub(key, value)) for key, value in self._left.items()]
        self._left.clear()
        return found

    def array(self, key: str) -> list[Table]:
        """An array of tables, empty where the key is missing."""
        entries = self.take(key, list, [])
        return [self._sub(f"{key}[{index}]", entry) for index, entry in enumerate(entries)]

    def table(self, key: str) -> Table:
        """A sub-table, empty where the key is missing."""
        return self._sub(key, self._left.pop(key, {}))

    def _sub(self, key: str, value: object) -> Table:
        if not isinstance(value, dict):
            raise self.fail(key, "must be a table")
        return Table(self.file, ".".join(part for part in (self.place, key) if part), value)

    def done(self) -> None:
        """Refuse what nobody took.

        Raises:
            PluginError: names the first key left over.
        """
        for key in self._left:
            raise self.fail(key, "unknown key")
