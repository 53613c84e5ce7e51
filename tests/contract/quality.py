"""The quality ladder: rules, tiers, and what a plugin's `quality.toml` claims."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from xinmai.tables import Table, read_toml

REPOSITORY: Final = Path(__file__).parent.parent.parent
RULES: Final = REPOSITORY / "docs" / "rules"

TIERS: Final[Mapping[str, tuple[str, ...]]] = {
    "listed": (
        "owner-named",
        "folder-complete",
        "readme-true",
        "discovery-tested",
        "readings-tested",
        "sentinels-listed",
        "typed",
    ),
    "solid": (
        "devices-isolated",
        "release-works",
        "hang-contained",
        "crash-contained",
        "loss-logged-once",
        "costs-measured",
        "models-listed",
    ),
    "proven": (
        "hardware-recorded",
        "windows-measured",
        "overhead-measured",
        "troubleshooting-page",
    ),
}
UNTESTED: Final = "below listed"

SHORTEST_REASON: Final = 20

_TEST = re.compile(r"(?P<file>tests/\S+\.py)::(?P<name>test_\w+)")


def problems(folder: Path) -> Iterator[str]:
    """What is wrong with a plugin's claims; a rule that is not named is open, which is no fault."""
    file = folder / "quality.toml"
    rules = {rule for tier in TIERS.values() for rule in tier}
    for rule, table in Table(file, "", read_toml(file)).tables():
        if rule not in rules:
            yield f"{file}: {rule}: no such rule"
        elif table.has("exempt") == table.has("done"):
            yield f"{file}: {rule}: either done = a test, or exempt = the reason"
        elif table.has("done"):
            yield from _evidence(file, rule, table.take("done", str))
        elif len(table.take("exempt", str)) < SHORTEST_REASON:
            yield f"{file}: {rule}: an exemption says why"


def _evidence(file: Path, rule: str, evidence: str) -> Iterator[str]:
    """A test of ours, or a document of the repository."""
    match = _TEST.fullmatch(evidence)
    if match is None:
        if not (REPOSITORY / evidence).is_file():
            yield f"{file}: {rule}: {evidence} is neither a test nor a file of this repository"
        return
    test = REPOSITORY / match["file"]
    if not test.is_file() or f"def {match['name']}(" not in test.read_text("utf-8"):
        yield f"{file}: {rule}: there is no test {evidence}"


def tier_of(folder: Path) -> str:
    """The highest tier whose rules, and those of the tiers below, are all done or exempt."""
    claimed = read_toml(folder / "quality.toml") if (folder / "quality.toml").exists() else {}
    reached = UNTESTED
    for tier, rules in TIERS.items():
        if not all(rule in claimed for rule in rules):
            break
        reached = tier
    return reached
