from __future__ import annotations

import pytest

from contract.quality import RULES, TIERS

LINES = 20


def test_eighteen_rules() -> None:
    assert sum(len(rules) for rules in TIERS.values()) == 18


@pytest.mark.parametrize(
    ("tier", "rule"), [(tier, rule) for tier, rules in TIERS.items() for rule in rules]
)
def test_rule_has_a_short_page(tier: str, rule: str) -> None:
    text = (RULES / f"{rule}.md").read_text("utf-8")
    assert text.startswith(f"# {rule}\n")
    assert f"Tier: {tier}." in text
    assert len(text.splitlines()) <= LINES
    for heading in ("Why", "Done when", "Exempt when"):
        assert f"**{heading}.**" in text


def test_no_page_without_a_rule() -> None:
    pages = {file.stem for file in RULES.glob("*.md")} - {"README"}
    assert pages == {rule for rules in TIERS.values() for rule in rules}
