"""Imports go one way, clocks have one reader, and nothing grows past what one can read."""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parent.parent
AGENT: Final = REPOSITORY / "agent" / "xinmai"
NATIVE: Final = REPOSITORY / "native" / "xinmai_native"
PLUGINS: Final = REPOSITORY / "plugins" / "xinmai_plugins"

VENDORS: Final = re.compile(
    r"nvml|dcmi|mxsml|cndev|mtml|ixml|efml|xpuml|rsmi|amdsmi|hgml|brml", re.IGNORECASE
)
MQTT: Final = frozenset({"aiomqtt", "paho"})
OURS: Final = frozenset({"xinmai", "xinmai_native", "xinmai_plugins"})
CLOCK_CALLS: Final = re.compile(
    r"\btime\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|clock_gettime\w*)\b"
    r"|\b(datetime|date)\.(now|utcnow|today)\(|\bfrom time import\b"
)

HARD_LIMIT, SOFT_LIMIT = 700, 400
MEDIAN_LIMIT = 12


def _python(*folders: Path) -> list[Path]:
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


@cache
def _imports(file: Path) -> tuple[str, ...]:
    return tuple(_walk_imports(file))


def _walk_imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def _named(file: Path) -> str:
    return str(file.relative_to(REPOSITORY))


def _first(name: str) -> str:
    return name.partition(".")[0]


each_agent_file = pytest.mark.parametrize("file", _python(AGENT), ids=_named)


@pytest.mark.parametrize("file", _python(PLUGINS), ids=_named)
def test_plugins_import_the_api_and_no_more_of_us(file: Path) -> None:
    own = f"xinmai_plugins.{file.relative_to(PLUGINS).parts[0]}"
    for name in _imports(file):
        if _first(name) in OURS:
            assert name == "xinmai.api" or name == own or name.startswith(f"{own}."), name
        elif file.name not in ("binding.py", "_abi.py"):
            assert _first(name) == "psutil" or _first(name) in sys.stdlib_module_names, name


@each_agent_file
def test_agent_imports_no_plugin(file: Path) -> None:
    assert [name for name in _imports(file) if _first(name) == "xinmai_plugins"] == []


@each_agent_file
def test_agent_names_no_vendor_library(file: Path) -> None:
    assert VENDORS.findall(file.read_text("utf-8")) == []


@each_agent_file
def test_mqtt_has_one_door(file: Path) -> None:
    inside = file.relative_to(AGENT).parts[0].removesuffix(".py") == "transport"
    assert inside or [name for name in _imports(file) if _first(name) in MQTT] == []


@each_agent_file
def test_clocks_have_one_reader(file: Path) -> None:
    if file != AGENT / "clock.py":
        found = [match[0] for match in CLOCK_CALLS.finditer(file.read_text("utf-8"))]
        assert found == [], "read clocks through xinmai.clock"


@pytest.mark.parametrize("file", [*_python(NATIVE), *NATIVE.glob("*.pyi")], ids=_named)
def test_extension_imports_nothing_of_ours(file: Path) -> None:
    names = [name for name in _imports(file) if _first(name) in OURS - {"xinmai_native"}]
    assert names == []


def _sources() -> list[Path]:
    folders = [REPOSITORY / room for room in ("agent", "native", "plugins", "tests")]
    found = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return [file for file in found if file.suffix in (".py", ".pyi", ".c", ".h", ".js")]


def test_no_source_file_is_longer_than_the_hard_limit() -> None:
    lengths = {_named(file): len(file.read_text("utf-8").splitlines()) for file in _sources()}
    long = {name: lines for name, lines in lengths.items() if lines > SOFT_LIMIT}
    for name, lines in sorted(long.items()):
        sys.stdout.write(f"{lines} lines, {SOFT_LIMIT} are enough: {name}\n")
    assert {name: lines for name, lines in long.items() if lines > HARD_LIMIT} == {}


@pytest.mark.parametrize("folder", [AGENT, PLUGINS], ids=_named)
def test_most_functions_are_short(folder: Path) -> None:
    lengths = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for file in _python(folder)
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert statistics.median(lengths) <= MEDIAN_LIMIT
