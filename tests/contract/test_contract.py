"""What holds for every plugin, ours and installed ones."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cffi
import psutil
import pytest

from contract.machines import MACHINES
from contract.quality import UNTESTED, problems, tier_of
from contract.readme import HEADINGS, read_sections, render
from xinmai.api import Cost, FileProbe, Missing, Plugin, Poll, Probe, Series
from xinmai.catalog import ATTRIBUTES, NATIVE_PREFIX, lookup, refusal
from xinmai.manifest import GROUP, PluginSource, check_config, find_plugins

SOURCES = find_plugins()
FILES = (
    "README.md",
    "__init__.py",
    "metrics.toml",
    "plugin.py",
    "plugin.toml",
    "quality.toml",
    "sample.toml",
)
LOADERS = frozenset({"_cffi_backend", "cffi", "ctypes"})
BINDINGS = ("binding.py", "_abi.py")
"""Where a library is loaded, and what is compiled from its declarations."""
PLUGIN_LINES = 250
REPOSITORY = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


@pytest.fixture(autouse=True)
def _psutil_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", "/proc")


@pytest.fixture
def plugin(source: PluginSource, tmp_path: Path) -> Iterator[Plugin]:
    made = MACHINES[source.name](tmp_path)
    made.open()
    yield made
    made.close()


def _readings(plugin: Plugin) -> list[Probe | Poll]:
    return [reading for device in plugin.discover() for reading in plugin.readings(device)]


def _series(plugin: Plugin) -> list[Series]:
    return [series for reading in _readings(plugin) for series in reading.series]


def test_has_a_machine_to_run_on(source: PluginSource) -> None:
    assert source.name in MACHINES


def test_folder_is_complete(source: PluginSource) -> None:
    assert not source.problem
    assert [name for name in FILES if not (source.folder / name).is_file()] == []


def test_plugin_file_is_short(source: PluginSource) -> None:
    lines = (source.folder / "plugin.py").read_text("utf-8").splitlines()
    assert len(lines) <= PLUGIN_LINES


def test_owner_is_named(source: PluginSource) -> None:
    assert source.manifest.owner
    assert source.manifest.summary
    assert not source.manifest.summary.endswith(".")


def test_every_need_has_a_fix(source: PluginSource) -> None:
    assert [need for need in source.manifest.needs if len(need.fix) < 10] == []


def test_readme_repeats_the_other_files(source: PluginSource) -> None:
    text = (source.folder / "README.md").read_text("utf-8")
    assert text == render(source), "run: python tests/contract/readme.py --write"


def test_readme_has_every_section(source: PluginSource) -> None:
    sections = read_sections(source.folder / "README.md")
    assert tuple(sections) == HEADINGS
    assert [heading for heading, body in sections.items() if not body] == []


def test_sample_shows_every_key_with_its_default(source: PluginSource) -> None:
    lines = (source.folder / "sample.toml").read_text("utf-8").splitlines()
    shown = "\n".join(_uncommented(line) for line in lines)
    table = tomllib.loads(shown)["plugins"][source.name]
    keys = {key: value for key, value in table.items() if key not in ("enabled", "period")}
    assert list(keys) == list(source.manifest.config)
    assert check_config(source.manifest, keys) == check_config(source.manifest, {})


def _uncommented(line: str) -> str:
    text = line.removeprefix("# ")
    return text if text.split(" = ")[0].isidentifier() else line


def test_quality_claims_have_evidence(source: PluginSource) -> None:
    assert list(problems(source.folder)) == []


def test_quality_is_at_least_listed(source: PluginSource) -> None:
    assert tier_of(source.folder) != UNTESTED


def test_discovery_repeated_gives_the_same_devices(plugin: Plugin) -> None:
    assert list(plugin.discover()) == list(plugin.discover())


def test_devices_have_distinct_ids_and_known_parents(plugin: Plugin) -> None:
    seen: set[str] = {""}
    for device in plugin.discover():
        assert device.hw_id not in seen
        assert device.parent in seen
        assert set(device.attributes) <= set(ATTRIBUTES)
        seen.add(device.hw_id)


def test_nothing_changed_right_after_discovery(plugin: Plugin) -> None:
    list(plugin.discover())
    assert not plugin.changed()


def test_series_follow_catalogue_and_metrics_file(source: PluginSource, plugin: Plugin) -> None:
    ids = {device.hw_id for device in plugin.discover()} | {""}
    entries = source.manifest.metrics.values()
    for series in _series(plugin):
        assert series.hw_id in ids
        if not series.metric.startswith(NATIVE_PREFIX):
            definition = lookup(series.metric)
            assert (series.unit, series.kind) == (definition.unit, definition.kind)
            assert refusal(definition, series.attributes) == ""
        assert [
            entry
            for entry in entries
            if entry.metric == series.metric
            and entry.attributes.items() <= series.attributes.items()
            and series.attributes.keys() <= {*entry.attributes, *entry.varies}
            and entry.scale == series.scale
        ], f"{series.metric} {dict(series.attributes)} is not as in metrics.toml"


def test_no_two_readings_claim_one_series(plugin: Plugin) -> None:
    keys = Counter(
        (series.hw_id, series.metric, tuple(sorted(series.attributes.items())))
        for series in _series(plugin)
    )
    assert [key for key, count in keys.items() if count > 1] == []


def test_every_metric_is_supplied_somewhere(source: PluginSource, plugin: Plugin) -> None:
    supplied = {series.metric for series in _series(plugin)}
    assert {entry.metric for entry in source.manifest.metrics.values()} == supplied


def test_files_are_under_the_root(plugin: Plugin) -> None:
    probes = [reading for reading in _readings(plugin) if isinstance(reading, FileProbe)]
    assert [probe.path for probe in probes if plugin.context.root not in probe.path.parents] == []


def test_polls_are_never_fast_and_answer_for_each_series(plugin: Plugin) -> None:
    for poll in [reading for reading in _readings(plugin) if isinstance(reading, Poll)]:
        assert poll.cost is not Cost.FAST
        readings = poll.read()
        assert len(readings) == len(poll.series)
        assert all(isinstance(reading, int | float | Missing) for reading in readings)


def test_close_can_be_repeated(plugin: Plugin) -> None:
    plugin.close()
    plugin.close()


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def test_imports_only_the_api_and_its_own_package(source: PluginSource) -> None:
    own = source.module.rpartition(".")[0]
    for file in source.folder.glob("*.py"):
        for name in _imports(file):
            first = name.split(".")[0]
            if file.name in BINDINGS and first != "xinmai":
                continue
            assert first not in LOADERS, f"{file}: {name} belongs in binding.py"
            ours = name == "xinmai.api" or name == own or name.startswith((f"{own}.", "."))
            assert ours or first == "psutil" or first in sys.stdlib_module_names, f"{file}: {name}"


def test_compiled_declarations_are_those_of_the_header(
    source: PluginSource, tmp_path: Path
) -> None:
    header, compiled = source.folder / "abi.h", source.folder / "_abi.py"
    if not header.exists() or not compiled.exists():
        pytest.skip("binds no library, or nobody has built this source tree")
    declared, fresh = cffi.FFI(), tmp_path / "_abi.py"
    declared.cdef(header.read_text("utf-8"))
    declared.set_source("_abi", None)
    declared.emit_python_code(str(fresh))
    old, new = (file.read_text("utf-8").partition("ffi = ")[2] for file in (compiled, fresh))
    # The first argument is the module's own name.
    assert old.partition("\n")[2] == new.partition("\n")[2], "run: python setup.py build_ext -i"


def test_import_brings_nothing_heavy(source: PluginSource) -> None:
    script = (
        "import json, sys; before = set(sys.modules);"
        "from xinmai.manifest import find_plugins; find_plugins()[sys.argv[1]].load();"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, source.name], capture_output=True, text=True, check=True
    )
    brought = set(json.loads(done.stdout)) - sys.stdlib_module_names
    ours = {"xinmai", "xinmai_native", "xinmai_plugins", source.module.split(".")[0]}
    assert brought <= {*ours, "psutil"}


def test_finding_it_imports_none_of_its_code(source: PluginSource) -> None:
    script = (
        "import sys; from xinmai.manifest import find_plugins;"
        "find_plugins()[sys.argv[1]].manifest;"
        "sys.exit(any(name.startswith(sys.argv[2]) for name in sys.modules))"
    )
    top = source.module.split(".")[0]
    subprocess.run([sys.executable, "-c", script, source.name, top], check=True)


def test_is_declared_where_it_is_installed_from(source: PluginSource) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    declared = project["entry-points"][GROUP]
    if source.module.startswith("xinmai_plugins."):
        assert declared[source.name] == f"{source.module}:{source.attribute}"
