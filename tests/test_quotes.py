"""Files that the documents quote are quoted as they are.

`python tests/test_quotes.py` writes the quotations anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUOTE = re.compile(r"(<!-- quote (\S+) -->\n```\w+\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)
PAGES = [
    path
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if QUOTE.search(path.read_text(encoding="utf-8"))
]


def rewritten(page: str) -> str:
    """The page with every quoted file as it is now."""

    def quote(match: re.Match[str]) -> str:
        return match[1] + (ROOT / match[2]).read_text(encoding="utf-8") + match[4]

    return QUOTE.sub(quote, page)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_quotations_are_true(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert rewritten(page) == page, "run python tests/test_quotes.py"


def test_the_authors_page_quotes_the_example() -> None:
    page = (ROOT / "docs/plugin/index.md").read_text(encoding="utf-8")
    quoted = [Path(name).name for _, name, _, _ in QUOTE.findall(page)]
    assert quoted == ["plugin.toml", "metrics.toml", "plugin.py"]


if __name__ == "__main__":
    for found in PAGES:
        found.write_text(rewritten(found.read_text(encoding="utf-8")), encoding="utf-8")
