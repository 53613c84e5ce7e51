from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from xinmai.api import INT64_MAX, INT64_MIN, Cost, Device, Metric
from xinmai.catalog import Kind
from xinmai.errors import ConfigError, PluginError
from xinmai.manifest import (
    GROUP,
    Manifest,
    PluginSource,
    check_config,
    find_plugins,
    read_manifest,
    source_of_folder,
)
from xinmai.manifest_metrics import read_texts

PLUGIN = """
name = "thing"
owner = "somebody"
summary = "things"
"""
METRICS = """
[power]
metric = "hw.power"
unit = "W"
native = "power_mw"
native_unit = "mW"
scale = [1, 1000]
cost = "fast"
"""
CODE = """
from xinmai.api import Plugin
class Thing(Plugin):
    def discover(self): return ()
    def readings(self, device): return ()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plugin.toml").write_text(PLUGIN)
    (tmp_path / "metrics.toml").write_text(METRICS)
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "plugin.py").write_text(CODE)
    return tmp_path


def _plugin(folder: Path, more: str, base: str = PLUGIN) -> Manifest:
    (folder / "plugin.toml").write_text(base + more)
    return read_manifest(folder, "thing")


def _metrics(folder: Path, text: str) -> dict[str, Metric]:
    (folder / "metrics.toml").write_text(text)
    return dict(read_manifest(folder, "thing").metrics)


def test_least_manifest(folder: Path) -> None:
    manifest = read_manifest(folder, "thing")
    assert (manifest.threading, manifest.kill_safe, manifest.vendor) == ("serial", False, "")
    assert manifest.folder == folder
    assert list(manifest.metrics) == ["power"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("nonsense = 1", "plugin.toml: nonsense: unknown key"),
        ('threading = "both"', "plugin.toml: threading: 'both' is none of free, serial"),
        ("kill_safe = 1", "plugin.toml: kill_safe: 1 is no bool"),
        ("needs = 3", "plugin.toml: needs: 3 is no list"),
        ("needs = [3]", r"plugin.toml: needs\[0\]: must be a table"),
        ("[[needs]]\npaths = ['/x']", r"needs\[0\].fix: missing"),
        ("[[needs]]\nfix = 'do'", r"needs\[0\]: needs exactly one of any_path, paths"),
        (
            "[[needs]]\npaths = ['/x']\ngroups = ['g']\nfix = 'do'",
            r"needs\[0\]: needs exactly one of",
        ),
        ("[[needs]]\npaths = []\nfix = 'do'", r"needs\[0\].paths: neither"),
        ("[[needs]]\npaths = [3]\nfix = 'do'", r"needs\[0\].paths: \[3\] is no list of strings"),
        ("[[needs]]\npaths = ['/x']\nfix = 'do'\nwhy = 1", r"needs\[0\].why: unknown key"),
        ("[[needs]]\npaths = ['/x']\nfix = 'do'\nunless = 'k'", "needs: 'k' is no key of"),
        ("[[needs]]\nconfig = ['k']\nfix = 'do'", "needs: 'k' is no key of"),
        ("[[needs]]\ncapabilities = ['CAP_X']\nfix = 'do'", "known are CAP_DAC_OVERRIDE"),
        ("[config.k]\ntype = 'str'\nhelp = 'h'", "config.k.default: None is no str"),
        ("[config.k]\ntype = 'str'\ndefault = 'd'", "config.k.help: missing"),
        ("[config.k]\ntype = 'date'\ndefault = 'd'\nhelp = 'h'", "config.k.type: 'date' is none"),
        ("[config.k]\ntype = 'int'\ndefault = true\nhelp = 'h'", "True is no int"),
        ("[config.k]\ntype = 'str'\ndefault = 'd'\nhelp = 'h'\nx = 1", "config.k.x: unknown key"),
        (
            "[config.k]\ntype = 'str'\ndefault = 'd'\nhelp = 'h'\nchoices = ['a', 'b']",
            "'d' is none of a, b",
        ),
        ("[config.enabled]\ntype = 'bool'\ndefault = true\nhelp = 'h'", "the framework has a key"),
        ("[config]\nk = 1", "config.k: must be a table"),
        ("x = ", "plugin.toml: Invalid value"),
    ],
)
def test_wrong_manifest_names_file_and_key(folder: Path, more: str, says: str) -> None:
    with pytest.raises(PluginError, match=says):
        _plugin(folder, more)


def test_missing_keys_and_files_are_named(folder: Path) -> None:
    with pytest.raises(PluginError, match=r"plugin\.toml: owner: missing"):
        _plugin(folder, "", 'name = "thing"\nsummary = "s"\n')
    with pytest.raises(PluginError, match="'thing' is none of other"):
        read_manifest(folder, "other")
    (folder / "plugin.toml").unlink()
    with pytest.raises(PluginError, match=r"plugin\.toml.*No such file"):
        read_manifest(folder, "thing")


def test_metric_in_full(folder: Path) -> None:
    metric = _metrics(
        folder,
        METRICS
        + """
type = "u64"
sentinels = [-1, 4294967295]
range = [0, 700]
refresh = "100ms"
window = "25ms"
attributes = { "accel.power.scope" = "board" }
varies = ["accel.power.mode"]
""",
    )["power"]
    assert metric == Metric(
        key="power",
        metric="hw.power",
        unit="W",
        kind=Kind.GAUGE,
        attributes={"accel.power.scope": "board"},
        native="power_mw",
        native_unit="mW",
        scale=(1, 1000),
        type="u64",
        cost=Cost.FAST,
        varies=("accel.power.mode",),
        sentinels=(-1, 4294967295),
        low=0,
        high=700_000,
        refresh_ns=100_000_000,
        window_ns=25_000_000,
    )


def test_series_of_a_metric(folder: Path) -> None:
    metric = _metrics(folder, METRICS)["power"]
    series = metric.of(Device(hw_id="a"), {"accel.power.mode": "instant"}, native="call()")
    assert (series.hw_id, series.native, series.scale) == ("a", "call()", (1, 1000))
    assert series.attributes == {"accel.power.mode": "instant"}
    assert metric.of(None).hw_id == ""


@pytest.mark.parametrize(
    ("more", "bounds"),
    [
        ("", (0, 50_000_000)),
        ("range = [1.5, 2]", (1500, 2000)),
        ("range = [0.0004, 0.0016]", (1, 1)),
    ],
)
def test_range_is_in_base_units_and_held_in_native_ones(
    folder: Path, more: str, bounds: tuple[int, int]
) -> None:
    metric = _metrics(folder, METRICS + more)["power"]
    assert (metric.low, metric.high) == bounds


def test_counter_of_64_bits_has_no_bound_that_its_sign_would_break(folder: Path) -> None:
    text = METRICS.replace("hw.power", "hw.network.io").replace('"W"', '"By"')
    assert _metrics(folder, text)["power"].low == 0
    metric = _metrics(folder, f'{text}\ntype = "u64"')["power"]
    assert (metric.low, metric.high) == (INT64_MIN, INT64_MAX)


def test_counter_says_how_wide_it_is(folder: Path) -> None:
    text = METRICS.replace("hw.power", "hw.network.io").replace('"W"', '"By"')
    assert _metrics(folder, text)["power"].width_bits == 64
    metric = _metrics(folder, f"{text}\nwidth = 32")["power"]
    assert metric.width_bits == metric.of(None).width_bits == 32
    for wrong in ("7", "65"):
        with pytest.raises(PluginError, match=rf"power\.width: {wrong} bits are not 8 to 64"):
            _metrics(folder, f"{text}\nwidth = {wrong}")
    with pytest.raises(PluginError, match=r"power\.width: .* is no counter of integers"):
        _metrics(folder, f'{text}\nwidth = 32\ntype = "f64"')


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[power]", "[power]\nwidth = 32", r"power\.width: hw.power is no counter"),
        ("hw.power", "hw.pwer", r"power\.metric: metric 'hw.pwer' is not in the catalogue"),
        ('"W"', '"mW"', r"power\.unit: 'mW', but hw.power is in 'W': use scale"),
        ("fast", "quick", r"power\.cost: 'quick' is none of fast, slow, rare"),
        ("[1, 1000]", "[1, 0]", r"power\.scale: \[1, 0\] is no \[numerator"),
        ("[1, 1000]", "[1.0, 2]", r"power\.scale"),
        ("[1, 1000]", "3", r"power\.scale: 3 is no list"),
        ('native = "power_mw"', "", r"power\.native: missing"),
        ("[power]", "[power]\nkind = 'gauge'", r"power\.kind: the catalogue says it"),
        ("[power]", "[power]\ntext = 'power'", r"power\.text: the catalogue says it"),
        ("[power]", "[power]\ntype = 'u32'", r"power\.type: 'u32' is none of i64, u64, f64"),
        ("[power]", "[power]\nsentinels = [1.5]", r"power\.sentinels"),
        ("[power]", "[power]\nrange = [5]", r"power\.range"),
        ("[power]", "[power]\nrange = [5, 1]", r"power\.range: 5 is above 1"),
        ("[power]", "[power]\nrange = [0, 99999999]", r"power\.range: wider than the catalogue"),
        ("[power]", "[power]\nrefresh = '5 moons'", r"power\.refresh: "),
        ("[power]", "[power]\nrefresh = 5", r"power\.refresh: 5 is no str"),
        ("[power]", "[power]\nvaries = ['cpu.mode']", r"power\.varies: 'cpu.mode' is no attribute"),
        ("[power]", "[power]\nextra = 1", r"power\.extra: unknown key"),
        (
            "[power]",
            "[power]\nattributes = {'cpu.mode' = 'user'}",
            r"power\.attributes: hw.power has no attribute 'cpu.mode'",
        ),
        (
            "[power]",
            "[power]\nattributes = {'accel.power.scope' = 1}",
            r"power\.attributes\.accel\.power\.scope: 1 is no str",
        ),
    ],
)
def test_wrong_metric_names_file_and_key(folder: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(PluginError, match=r"metrics\.toml: " + says):
        _metrics(folder, METRICS.replace(old, new))


def test_plugin_without_metrics_is_none(folder: Path) -> None:
    with pytest.raises(PluginError, match="at least one metric"):
        _metrics(folder, "")


NATIVE = """
[jobs]
metric = "accel.native.thing.jobs"
unit = "{job}"
kind = "counter"
text = "jobs done"
native = "jobs"
native_unit = "1"
cost = "slow"
varies = ["accel.engine"]
"""


def test_native_series_say_kind_and_text_themselves(folder: Path) -> None:
    metric = _metrics(folder, NATIVE)["jobs"]
    assert (metric.kind, metric.unit) == (Kind.COUNTER, "{job}")
    assert read_texts(folder / "metrics.toml", "thing") == {"jobs": "jobs done"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("native.thing", "native.other", "begin with accel.native.thing."),
        ("thing.jobs", "thing.", "begin with accel.native.thing."),
        ('"{job}"', '"mW"', "'mW' is none of"),
        ('kind = "counter"', "", "kind: missing"),
        ('kind = "counter"', 'kind = "count"', "kind: 'count' is none of gauge"),
        ('text = "jobs done"', "", "text: missing"),
    ],
)
def test_wrong_native_series(folder: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(PluginError, match=says):
        _metrics(folder, NATIVE.replace(old, new))


CONFIG = """
[config.path]
type = "str"
default = ""
help = "h"
[config.count]
type = "int"
default = 3
help = "h"
[config.share]
type = "float"
default = 0.5
help = "h"
[config.on]
type = "bool"
default = true
help = "h"
[config.names]
type = "list"
default = ["a"]
help = "h"
choices = ["a", "b"]
[config.wait]
type = "duration"
default = "1s"
help = "h"
"""


def test_defaults_are_filled_in(folder: Path) -> None:
    assert check_config(_plugin(folder, CONFIG), {}) == {
        "path": "",
        "count": 3,
        "share": 0.5,
        "on": True,
        "names": ["a"],
        "wait": 1_000_000_000,
    }


def test_values_are_taken(folder: Path) -> None:
    given = {"share": 2, "names": ["b", "a"], "wait": "20ms"}
    config = check_config(_plugin(folder, CONFIG), given)
    assert (config["share"], config["names"], config["wait"]) == (2.0, ["b", "a"], 20_000_000)
    assert type(config["share"]) is float


def test_default_list_is_nobodys_to_change(folder: Path) -> None:
    manifest = _plugin(folder, CONFIG)
    check_config(manifest, {})["names"].append("b")
    assert check_config(manifest, {})["names"] == ["a"]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("nope", 1, "unknown key; its keys are path, count"),
        ("path", 1, "1 is no str"),
        ("count", True, "True is no int"),
        ("count", 1.0, "1.0 is no int"),
        ("share", "1", "'1' is no float"),
        ("on", 1, "1 is no bool"),
        ("names", "a", "'a' is no list"),
        ("names", [1], "is no list of strings"),
        ("names", ["c"], "is none of a, b"),
        ("wait", 5, "5 is no duration"),
        ("wait", "soon", "soon"),
    ],
)
def test_wrong_value_names_the_key(folder: Path, key: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        check_config(_plugin(folder, CONFIG), {key: value})
    assert raised.value.key == f"plugins.thing.{key}"


def test_plugin_without_keys_says_so(folder: Path) -> None:
    with pytest.raises(ConfigError, match="it has no keys"):
        check_config(read_manifest(folder, "thing"), {"x": 1})


def test_folder_alone_is_a_plugin(folder: Path) -> None:
    source = source_of_folder(folder)
    assert source.manifest.name == "thing"
    assert source.load().__name__ == "Thing"
    assert not [name for name in sys.modules if name.startswith("thing")]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("1 / 0", "cannot import .*ZeroDivisionError"),
        ("import no_such_module", "cannot import .*no_such_module"),
        ("x = 1", "is not one subclass"),
        (CODE + "class Other(Thing): pass", "is not one subclass"),
    ],
)
def test_code_that_gives_no_plugin(folder: Path, code: str, says: str) -> None:
    (folder / "plugin.py").write_text(code)
    with pytest.raises(PluginError, match=says):
        source_of_folder(folder).load()


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    found: list[EntryPoint] = []
    monkeypatch.setattr(
        "xinmai.manifest.entry_points", lambda group: EntryPoints(found).select(group=group)
    )
    yield found
    for name in [name for name in sys.modules if name.startswith("far_away")]:
        del sys.modules[name]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution with a package two levels deep whose code must not run when it is found."""
    package = tmp_path / "far_away" / "plugins" / "thing"
    package.mkdir(parents=True)
    for level in (package, *package.parents[:2]):
        (level / "__init__.py").write_text("raise RuntimeError('imported too early')")
    (package / "plugin.toml").write_text(PLUGIN)
    (package / "metrics.toml").write_text(METRICS)
    monkeypatch.syspath_prepend(tmp_path)
    return package


def test_folder_is_found_without_importing_anything(
    installed: Path, entries: list[EntryPoint]
) -> None:
    entries.append(EntryPoint("thing", "far_away.plugins.thing.plugin:Thing", GROUP))
    [source] = find_plugins().values()
    assert source.folder == installed
    assert source.manifest.summary == "things"
    assert not [name for name in sys.modules if name.startswith("far_away")]


def test_code_is_imported_by_load_alone(installed: Path, entries: list[EntryPoint]) -> None:
    for level in (installed, *installed.parents[:2]):
        (level / "__init__.py").write_text("")
    (installed / "plugin.py").write_text(CODE)
    entries.append(EntryPoint("thing", "far_away.plugins.thing.plugin:Thing", GROUP))
    assert find_plugins()["thing"].load().__name__ == "Thing"


@pytest.mark.parametrize(
    "value", ["no_such_package.plugin:X", "alone:X", "xinmai.nothing.plugin:X"]
)
@pytest.mark.fault("A11")
def test_broken_installation_is_listed_and_hides_no_other(
    entries: list[EntryPoint], value: str
) -> None:
    entries.append(EntryPoint("broken", value, GROUP))
    entries.append(EntryPoint("self", "xinmai_plugins.self.plugin:Self", GROUP))
    found = find_plugins()
    assert list(found) == ["broken", "self"]
    assert found["self"].manifest.name == "self"
    for use in (found["broken"].load, lambda: found["broken"].manifest):
        with pytest.raises(PluginError, match="is not there: reinstall"):
            use()


def test_name_installed_twice_is_a_problem_told(entries: list[EntryPoint]) -> None:
    entries.append(EntryPoint("self", "xinmai_plugins.self.plugin:Self", GROUP))
    entries.append(EntryPoint("self", "xinmai_plugins.host.plugin:Host", GROUP))
    with pytest.raises(PluginError, match="installed twice"):
        find_plugins()["self"].load()


def test_same_entry_seen_twice_is_no_problem(entries: list[EntryPoint]) -> None:
    entries += [EntryPoint("self", "xinmai_plugins.self.plugin:Self", GROUP)] * 2
    assert find_plugins()["self"].problem == ""


def test_attribute_that_is_no_plugin(entries: list[EntryPoint]) -> None:
    entries.append(EntryPoint("self", "xinmai_plugins.self.plugin:Device", GROUP))
    with pytest.raises(PluginError, match="is not one subclass"):
        find_plugins()["self"].load()


def test_our_own_plugins_are_found() -> None:
    names = {entry.name for entry in importlib.metadata.entry_points(group=GROUP)}
    assert set(find_plugins()) == names >= {"example", "host", "hwmon", "link", "rapl", "self"}


def test_manifest_is_read_once() -> None:
    source = find_plugins()["self"]
    assert source.manifest is source.manifest
    assert isinstance(source, PluginSource)
