"""Values inside SQL text, and the type of the engine's settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

EngineConfig = dict[str, str | bool | int | float | list[str]]


def literal(text: str) -> str:
    """A string constant."""
    return "'" + text.replace("'", "''") + "'"


def file_list(paths: Iterable[Path]) -> str:
    """A list of string constants."""
    return "[" + ", ".join(literal(str(path)) for path in paths) + "]"
