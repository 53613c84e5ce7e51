"""What commands print: tables for people, JSON for programs, never both on one stream."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """One JSON document on standard output; `indent=None` keeps it on one line."""
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
) -> None:
    """A table on standard output; where that is no terminal, its full width and no colour.

    Args:
        columns: headings; `None` cells show as a dash.
        right: headings of the columns that are aligned to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 10_000
    console = Console(file=sys.stdout, width=width, highlight=False, emoji=False)
    console.print(table)


def say(text: str) -> None:
    """One line for people on standard output."""
    print(text, flush=True)


def note(text: str) -> None:
    """One line beside the output: progress, warnings; on standard error."""
    print(f"xinmai: {text}", file=sys.stderr, flush=True)
