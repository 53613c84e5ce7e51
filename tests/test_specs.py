"""Each numbered statement of docs/specs has a test, and no test names one that is not there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
SPECS = TESTS.parent / "docs" / "specs"

STATEMENT = re.compile(r"^\s*- \*\*([A-Z]+-\d+)\*\*", re.MULTILINE)
MARKER = re.compile(r"statement\(\s*\"([A-Z]+-\d+)\"\s*,?\s*\)")


def stated() -> dict[str, str]:
    """Statement to the file it stands in."""
    return {
        statement: path.name
        for path in sorted(SPECS.glob("*.md"))
        for statement in STATEMENT.findall(path.read_text("utf-8"))
    }


def marked() -> dict[str, str]:
    """Statement to a file of a test that bears its marker."""
    return {
        statement: str(path.relative_to(TESTS))
        for path in sorted([*TESTS.rglob("*.py"), *TESTS.rglob("*.c")])
        for statement in MARKER.findall(path.read_text("utf-8"))
    }


def in_order(statement: str) -> tuple[str, int]:
    series, _, number = statement.partition("-")
    return series, int(number)


def test_every_statement_has_a_test() -> None:
    missing = sorted(stated().keys() - marked().keys(), key=in_order)
    assert not missing, f"{len(missing)} statements without a test: {', '.join(missing)}"


def test_every_marker_names_a_statement() -> None:
    known = stated()
    unknown = [f"{name} in {path}" for name, path in marked().items() if name not in known]
    assert not unknown, f"markers of no statement: {', '.join(unknown)}"


def test_a_statement_stands_in_one_place() -> None:
    found = [
        statement
        for path in SPECS.glob("*.md")
        for statement in STATEMENT.findall(path.read_text("utf-8"))
    ]
    assert len(found) == len(set(found))
