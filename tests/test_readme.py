"""What the documents say is there: commands, files, headings in both languages, links."""

from __future__ import annotations

import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from xinmai.cli.main import COMMANDS
from xinmai.collector.query import query_store

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")),
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def commands(path: Path) -> list[str]:
    """Every line of the shell blocks, without its comment."""
    blocks = [block for language, block in FENCE.findall(text(path)) if language == "sh"]
    return [
        command
        for line in "".join(blocks).splitlines()
        if (command := line.partition("  #")[0].strip())
    ]


def headings(path: Path) -> list[int]:
    """Levels of the headings, in order."""
    plain = FENCE.sub("", text(path))
    return [len(match) for match in re.findall(r"^(#+) ", plain, re.MULTILINE)]


def tabled(path: Path) -> list[str]:
    """Commands of the table."""
    return re.findall(r"^\| `xinmai (\w+)` \|", text(path), re.MULTILINE)


@pytest.mark.parametrize("path", [README, CHINESE], ids=lambda path: path.name)
def test_readme_has_the_two_commands_first(path: Path) -> None:
    makes = [command for command in commands(path) if command.startswith("make")]

    assert makes == ["make up", "make test"]


@pytest.mark.parametrize("path", [README, CHINESE], ids=lambda path: path.name)
def test_table_lists_every_command(path: Path) -> None:
    assert tabled(path) == list(COMMANDS)


def test_both_languages_have_the_same_sections_and_examples() -> None:
    assert headings(README) == headings(CHINESE)
    assert commands(README) == commands(CHINESE)
    links = [set(LINK.findall(text(path))) for path in (README, CHINESE)]
    assert links[0] ^ links[1] == {"README.md", "README.zh-CN.md"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(FENCE.sub("", text(path))):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{path}: {link}"
        if anchor and file.suffix == ".md":
            slugs = [
                re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
                for heading in re.findall(r"^#+ (.*)", text(file), re.MULTILINE)
            ]
            assert anchor in slugs, f"{path}: {link}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_targets_of_the_examples_exist(path: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", text(ROOT / "Makefile"), re.MULTILINE))
    for command in commands(path):
        words = command.split()
        if words[0].rpartition("/")[2] == "xinmai":
            assert words[1] in COMMANDS, command
        for target in words[1:] if words[0] == "make" else []:
            if "=" in target:
                break
            assert target in targets, command


def statements() -> list[str]:
    """Every SQL statement of the pages: SQL blocks, and operands of `xinmai query`."""
    found = []
    for path in PAGES:
        for command in commands(path):
            if " query " in command:
                found.append(shlex.split(command)[-1])
        for language, block in FENCE.findall(text(path)):
            if language == "sql":
                plain = re.sub(r"^--.*$", "", block, flags=re.MULTILINE)
                found += [part.strip() for part in plain.split(";") if part.strip()]
    return found


@pytest.mark.parametrize("sql", statements())
def test_queries_of_the_pages_run(sql: str, tmp_path: Path) -> None:
    assert query_store(tmp_path, sql) == []


def test_budget_is_stated_with_its_measurement() -> None:
    for words in ("less than 1 % of one core", "less than 75 MiB", "xinmai bench agent"):
        assert words in text(README)


def test_makefile_targets_are_documented_at_its_top() -> None:
    makefile = text(ROOT / "Makefile")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony

    for target in phony[1].split():
        assert f"# make {target}" in makefile


def test_changelog_keeps_its_form() -> None:
    lines = text(ROOT / "CHANGELOG.md").splitlines()

    assert "## [Unreleased]" in lines
    for line in lines:
        assert not line.startswith("- ") or re.match(r"- \[[\w.]+\] \S", line), line


def test_docs_index_names_every_page() -> None:
    index = text(ROOT / "docs/README.md")
    docs = ROOT / "docs"
    listed = {(docs / link).resolve() for link in LINK.findall(index)}
    pages = {
        path
        for path in docs.rglob("*.md")
        if path != docs / "README.md" and path.parent.name != "rules"
    }

    assert pages - listed == set()


def test_scripts_are_executable() -> None:
    for script in ("scripts/bootstrap", ".ci/run", ".ci/package", ".ci/fuzz"):
        assert (ROOT / script).stat().st_mode & 0o111, script


def test_make_knows_its_targets() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "up", "ARGS=--for 20s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    steps = done.stdout.splitlines()
    assert ["bootstrap up" in steps[0], "xinmai up --for 20s" in steps[-1]] == [True, True]
    assert all(first != second for first, second in pairwise(steps))
