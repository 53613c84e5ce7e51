"""docs/faults.md and the markers of the tests say the same.

`python tests/test_faults.py` writes the states of the page anew from the markers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "faults.md"
LAST = {"A": 23, "B": 13, "C": 7, "D": 16, "E": 10, "F": 8, "G": 8}
IDS = [f"{group}{number}" for group, last in LAST.items() for number in range(1, last + 1)]
MARKER = re.compile(r"mark\.fault\(\s*\"([A-G]\d+)\"\s*,?\s*\)")


@dataclass(frozen=True)
class Row:
    """One line of the page."""

    id: str
    fault: str
    answer: str
    state: str


def rows() -> list[Row]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if re.match(r"\| [A-G]\d+ \|", line)]
    return [Row(*cell) for cell in cells]


def marked() -> dict[str, set[str]]:
    """Id to the files of tests that carry its marker."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for fault in MARKER.findall(path.read_text(encoding="utf-8")):
            found.setdefault(fault, set()).add(path.relative_to(ROOT).as_posix())
    return found


def test_every_id_has_one_row_in_order() -> None:
    assert [row.id for row in rows()] == IDS


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.id)
def test_row_is_complete(row: Row) -> None:
    assert row.fault
    assert row.answer
    assert row.state == "planned" or re.fullmatch(r"tested: \[(\S+)\]\(\.\./\1\)", row.state)


def test_markers_name_faults_of_the_page() -> None:
    assert set(marked()) <= set(IDS)


def rewritten(page: str) -> str:
    """The page with a test named where there is one, and `planned` where there is none."""
    tests = marked()

    def state(match: re.Match[str]) -> str:
        files = sorted(tests.get(match[2], ()))
        named = [file for file in files if f"[{file}]" in match[3]]
        best = (named or files or [""])[0]
        return match[1] + (f"tested: [{best}](../{best})" if best else "planned")

    return re.sub(r"^(\| ([A-G]\d+) \|.* \| )([^|]+)(?= \|$)", state, page, flags=re.MULTILINE)


def test_page_names_a_test_where_there_is_one_and_only_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page) == page, "run python tests/test_faults.py"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
