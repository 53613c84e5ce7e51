"""What commands print: tables for people, JSON for programs, never both on one stream."""

from __future__ import annotations

import json
import sys
import unicodedata
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
    """A table on standard output; where that is no terminal, plain lines of their full width.

    Args:
        columns: headings; `None` cells show as a dash.
        right: headings of the columns that are aligned to the right.
    """
    texts = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(columns, texts, title, right)
    else:
        _print_plain(columns, texts, title, right)


def _print_plain(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None, right: Sequence[str]
) -> None:
    """For grep, awk and diff: no blank lines, nothing at the end of a line."""
    lines = [[" ".join(cell.splitlines()) for cell in row] for row in (columns, *rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    if title:
        say(title)
    for line in lines:
        cells = []
        for name, cell, width in zip(columns, line, widths, strict=True):
            gap = " " * (width - _width(cell))
            cells.append(gap + cell if name in right else cell + gap)
        say("  ".join(cells).rstrip())


def _width(text: str) -> int:
    """Columns of a terminal: Chinese characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(bool(unicodedata.combining(one)) for one in text)


def _print_rich(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None, right: Sequence[str]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=sys.stdout, highlight=False, emoji=False).print(table)


def say(text: str) -> None:
    """One line for people on standard output."""
    print(text, flush=True)


def note(text: str) -> None:
    """One line beside the output: progress, warnings; on standard error."""
    print(f"xinmai: {text}", file=sys.stderr, flush=True)
