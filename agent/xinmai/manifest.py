"""Finds plugins and reads their folders without importing any of their code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, Literal, cast

from xinmai.api import Metric, Plugin
from xinmai.errors import ConfigError, PluginError
from xinmai.manifest_metrics import read_metrics
from xinmai.needs import MissingNeed, Need, missing, read_need
from xinmai.quantities import parse_duration_ns
from xinmai.tables import Table, read_toml

__all__ = [
    "GROUP",
    "ConfigKey",
    "Manifest",
    "MissingNeed",
    "Need",
    "PluginSource",
    "check_config",
    "find_plugins",
    "needs_met",
    "read_manifest",
    "source_of_folder",
]

GROUP: Final = "xinmai.plugins"

Threading = Literal["free", "serial"]
ConfigType = Literal["str", "int", "float", "bool", "list", "duration"]

RESERVED_KEYS: Final = ("enabled", "period")

_PYTHON: Final[Mapping[ConfigType, str]] = {
    "str": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "list": "list",
    "duration": "str",
}


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One `[config.KEY]` of `plugin.toml`.

    Args:
        type: a `list` is one of strings; a `duration` is text in files, nanoseconds in `default`.
    """

    name: str
    type: ConfigType
    default: Any
    help: str
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a plugin says of itself before any of its code runs.

    Args:
        vendor: whose devices it reads, "" for no vendor in particular.
        threading: whether calls on different devices may run side by side.
        kill_safe: a hung host may be killed; False where that can freeze the device.
        config: declared configuration by key.
        metrics: `metrics.toml` by key.
    """

    name: str
    owner: str
    vendor: str
    summary: str
    threading: Threading
    kill_safe: bool
    folder: Path
    needs: tuple[Need, ...] = ()
    config: Mapping[str, ConfigKey] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)


@dataclass(frozen=True)
class PluginSource:
    """Where a plugin is; nothing of it is read until asked.

    Args:
        module, attribute: the class, as the entry point names it; no attribute where the folder
            alone is known.
        problem: why it cannot be used, "" where nothing is known against it.
    """

    name: str
    folder: Path
    module: str = ""
    attribute: str = ""
    problem: str = ""

    @cached_property
    def manifest(self) -> Manifest:
        """What the folder says.

        Raises:
            PluginError: the folder is missing or breaks a rule; names file and key.
        """
        if self.problem:
            raise PluginError(self.problem)
        return read_manifest(self.folder, self.name)

    def load(self) -> type[Plugin]:
        """Import the plugin's code. Only ever called in the plugin's own host.

        Raises:
            PluginError: the import fails or gives no plugin class.
        """
        if self.problem:
            raise PluginError(self.problem)
        try:
            module = importlib.import_module(self.module) if self.attribute else self._from_file()
        except Exception as error:
            raise PluginError(
                f"plugin {self.name}: cannot import {self.module}: {error!r}"
            ) from error
        found = [vars(module).get(self.attribute)] if self.attribute else vars(module).values()
        return self._only(found)

    def _from_file(self) -> Any:
        """Import `plugin.py` of a folder that no distribution owns; `from . import` works."""
        for part in ("__init__", "plugin"):
            name = self.module if part == "__init__" else f"{self.module}.{part}"
            file = self.folder / f"{part}.py"
            inside = [str(self.folder)] if part == "__init__" else None
            spec = importlib.util.spec_from_file_location(
                name, file, submodule_search_locations=inside
            )
            if spec is None or spec.loader is None:
                raise ImportError(f"{file} is no module")
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[f"{self.module}.plugin"]

    def _only(self, found: Iterable[object]) -> type[Plugin]:
        classes = [
            value
            for value in found
            if isinstance(value, type) and issubclass(value, Plugin) and value is not Plugin
        ]
        if len(classes) != 1:
            where = ":".join(part for part in (self.module, self.attribute) if part)
            raise PluginError(
                f"plugin {self.name}: {where} is not one subclass of xinmai.api.Plugin"
            )
        return classes[0]


def find_plugins() -> dict[str, PluginSource]:
    """Every installed plugin by name, sorted. A broken one is listed with its problem."""
    found: dict[str, PluginSource] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        source = _source(entry)
        earlier = found.get(entry.name)
        if earlier is not None and (earlier.module, earlier.attribute) != (
            entry.module,
            entry.attr,
        ):
            problem = f"plugin {entry.name} is installed twice: {earlier.module}, {entry.module}"
            source = PluginSource(entry.name, earlier.folder, problem=problem)
        found[entry.name] = source
    return found


def source_of_folder(folder: Path) -> PluginSource:
    """A plugin that is only a folder, such as one being written."""
    name = Table(folder / "plugin.toml", "", read_toml(folder / "plugin.toml")).take("name", str)
    return PluginSource(name, folder, f"xinmai_folder_{name}")


def _source(entry: EntryPoint) -> PluginSource:
    package = entry.module.rpartition(".")[0]
    folder = _folder(package)
    if folder is None:
        problem = (
            f"plugin {entry.name}: package {package or entry.module!r} is not there: reinstall"
        )
        return PluginSource(entry.name, Path(), entry.module, entry.attr, problem)
    return PluginSource(entry.name, folder, entry.module, entry.attr)


def _folder(package: str) -> Path | None:
    """Folder of a package, found without importing it or a parent of it."""
    if not package:
        return None
    first, *rest = package.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError):
        return None
    name = first
    for part in rest:
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, _locations(spec))
    places = _locations(spec)
    return Path(places[0]) if places else None


def _locations(spec: ModuleSpec | None) -> list[str]:
    return list(spec.submodule_search_locations or ()) if spec else []


def read_manifest(folder: Path, name: str) -> Manifest:
    """Read `plugin.toml` and `metrics.toml` of a folder.

    Args:
        name: what the plugin must call itself.

    Raises:
        PluginError: names file, key and rule.
    """
    file = folder / "plugin.toml"
    top = Table(file, "", read_toml(file))
    manifest = Manifest(
        name=top.one_of("name", (name,)),
        owner=top.take("owner", str),
        vendor=top.take("vendor", str, ""),
        summary=top.take("summary", str),
        threading=cast(Threading, top.one_of("threading", ("free", "serial"), "serial")),
        kill_safe=top.take("kill_safe", bool, False),
        folder=folder,
        needs=tuple(read_need(entry) for entry in top.array("needs")),
        config={key: _config_key(key, entry) for key, entry in top.table("config").tables()},
        metrics=read_metrics(folder / "metrics.toml", name),
    )
    top.done()
    for need in manifest.needs:
        named = need.items if need.kind == "config" else (need.unless,) if need.unless else ()
        for key in named:
            if key not in manifest.config:
                raise top.fail("needs", f"{key!r} is no key of [config]")
    return manifest


def _config_key(name: str, table: Table) -> ConfigKey:
    if name in RESERVED_KEYS:
        raise table.fail("", "the framework has a key of this name")
    kind = cast(ConfigType, table.one_of("type", tuple(_PYTHON)))
    key = ConfigKey(
        name=name,
        type=kind,
        default=table.take_any("default"),
        help=table.take("help", str),
        choices=tuple(table.take("choices", list, [])),
    )
    table.done()
    try:
        default = _checked(key, key.default)
    except ValueError as error:
        raise table.fail("default", str(error)) from error
    return ConfigKey(name, kind, default, key.help, key.choices)


def needs_met(
    manifest: Manifest,
    root: Path,
    config: Mapping[str, Any] | None = None,
    *,
    optional: bool = False,
) -> list[MissingNeed]:
    """What the machine under `root` lacks; empty: the plugin can start.

    Args:
        config: the checked configuration; a key set there can make a need void.
        optional: list as well what costs only some readings.
    """
    absent = missing(manifest.needs, root, config)
    return [need for need in absent if optional or not need.optional]


def check_config(manifest: Manifest, table: Mapping[str, Any]) -> dict[str, Any]:
    """The plugin's configuration, checked, defaults filled in, durations in nanoseconds.

    Raises:
        ConfigError: with `key`, and what is allowed.
    """
    known = manifest.config
    for name in table:
        if name not in known:
            allowed = f"its keys are {', '.join(known)}" if known else "it has no keys"
            raise ConfigError(f"unknown key; {allowed}", key=_dotted(manifest, name))
    return {name: _value(manifest, key, table) for name, key in known.items()}


def _value(manifest: Manifest, key: ConfigKey, table: Mapping[str, Any]) -> Any:
    if key.name not in table:
        return list(key.default) if key.type == "list" else key.default
    try:
        return _checked(key, table[key.name])
    except ValueError as error:
        raise ConfigError(str(error), key=_dotted(manifest, key.name)) from error


def _checked(key: ConfigKey, value: Any) -> Any:
    """The value as the plugin gets it; ValueError says what is allowed."""
    if key.type == "float" and type(value) is int:
        value = float(value)
    if type(value).__name__ != _PYTHON[key.type]:
        raise ValueError(f"{value!r} is no {key.type}")
    if key.type == "list" and any(type(item) is not str for item in value):
        raise ValueError(f"{value!r} is no list of strings")
    if key.choices and any(item not in key.choices for item in _each(value)):
        raise ValueError(f"{value!r} is none of {', '.join(map(str, key.choices))}")
    return parse_duration_ns(value) if key.type == "duration" else value


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else (value,)


def _dotted(manifest: Manifest, key: str) -> str:
    return f"plugins.{manifest.name}.{key}"
