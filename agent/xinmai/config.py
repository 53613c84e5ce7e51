"""Configuration: TOML files, environment, flags; unknown keys are errors with file and line.

Precedence: flag > environment (`XINMAI_BROKER_URL` for `broker.url`) > file > default. Files are
`/etc/xinmai/xinmai.toml`, then `/etc/xinmai/xinmai.d/*.toml` by name.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xinmai.config_file import ConfigFile, Setting, checked, closest
from xinmai.config_keys import (
    BY_NAME,
    COST_CLASSES,
    KEYS,
    PLUGIN_ENABLED,
    PLUGIN_PERIOD,
    SECTIONS,
    environment_name,
)
from xinmai.config_model import (
    SYSTEM_RUN_DIR,
    SYSTEM_STATE_DIR,
    BrokerConfig,
    CadenceConfig,
    CaptureConfig,
    CollectorConfig,
    Config,
    NodeConfig,
    PluginConfig,
    ShipperConfig,
)
from xinmai.errors import ConfigError

__all__ = [
    "BrokerConfig",
    "CadenceConfig",
    "CaptureConfig",
    "CollectorConfig",
    "Config",
    "Dirs",
    "NodeConfig",
    "PluginConfig",
    "Resolution",
    "ShipperConfig",
    "load",
    "resolve",
    "user_dirs",
]

ETC = Path("/etc/xinmai")
QUIET_FAST_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Dirs:
    """Where state is kept, and where sockets live while something runs."""

    state: Path
    run: Path


def user_dirs(environment: Mapping[str, str] | None = None) -> Dirs:
    """The directories of a person's own `xinmai up`, for root as well.

    `up`, `query`, `status` and `doctor` use them wherever `/etc/xinmai/xinmai.toml` does not exist,
    and so find each other without an option.

    Args:
        environment: os.environ where None; XDG_STATE_HOME, HOME and XDG_RUNTIME_DIR count.
    """
    env = os.environ if environment is None else environment
    home = Path(env.get("HOME") or Path.home())
    state = env.get("XDG_STATE_HOME") or ""
    base = Path(state) if state.startswith("/") else home / ".local" / "state"
    runtime = Path(env.get("XDG_RUNTIME_DIR") or "")
    if runtime.is_absolute() and _is_ours(runtime):
        return Dirs(base / "xinmai", runtime / "xinmai")
    return Dirs(base / "xinmai", Path("/tmp") / f"xinmai-{os.getuid()}")


def _is_ours(directory: Path) -> bool:
    try:
        return directory.stat().st_uid == os.getuid()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Resolution:
    """A configuration with where each part of it came from.

    Args:
        config: made of all that was right; use it only when there are no `errors`.
        files: read, in order.
        settings: what was set, by dotted name; a name that is not here has its default.
        errors: every problem, in the order of the files and within them by line.
    """

    config: Config
    files: Sequence[Path]
    settings: Mapping[str, Setting]
    errors: Sequence[ConfigError]


def load(
    files: Sequence[Path] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Read and check everything.

    Args:
        files: None for the standard places; a named file that is missing is an error.
        environment: os.environ where None.
        flags: dotted keys, such as {"broker.url": "mqtt://..."}.

    Raises:
        ConfigError: file, line, key and what is allowed.
    """
    resolution = resolve(files, environment=environment, flags=flags)
    if resolution.errors:
        raise resolution.errors[0]
    return resolution.config


def resolve(
    files: Sequence[Path] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    etc: Path = ETC,
) -> Resolution:
    """As `load`, but gathers the problems and keeps the origins."""
    env = os.environ if environment is None else environment
    paths = _standard_files(etc) if files is None else list(files)
    merger = _Merger()
    for path in paths:
        merger.file(path)
    merger.environment(env)
    merger.flags(flags or {})
    packaged = any(path.resolve().is_relative_to(etc) for path in paths)
    dirs = Dirs(SYSTEM_STATE_DIR, SYSTEM_RUN_DIR) if packaged else user_dirs(env)
    config = _build(merger.settings, dirs)
    return Resolution(config, paths, merger.settings, merger.errors)


def _standard_files(etc: Path) -> list[Path]:
    main = etc / "xinmai.toml"
    return [path for path in (main, *sorted((etc / "xinmai.d").glob("*.toml"))) if path.is_file()]


class _Merger:
    """Settings of all sources; the later one wins, key by key."""

    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {}
        self.errors: list[ConfigError] = []

    def file(self, path: Path) -> None:
        read = ConfigFile(path)
        self.errors.extend(read.errors)
        self.settings.update((setting.name, setting) for setting in read.settings)

    def environment(self, env: Mapping[str, str]) -> None:
        names = {key.environment: key for key in KEYS}
        prefixes = tuple(environment_name(section) + "_" for section in (*SECTIONS, "plugins"))
        for variable in sorted(env):
            if variable in names:
                self._text(names[variable].name, env[variable], f"environment {variable}")
            elif variable.startswith(prefixes):
                message = "no such key" + closest(variable, list(names))
                self.errors.append(ConfigError(message, file=f"environment {variable}"))

    def flags(self, flags: Mapping[str, Any]) -> None:
        for name, value in flags.items():
            if isinstance(value, str):
                self._text(name, value, "flag")
            else:
                self._add(name, value, "flag")

    def _text(self, name: str, text: str, origin: str) -> None:
        kind = _type_of(name)
        self._add(name, kind.from_text(text) if kind else text, origin)

    def _add(self, name: str, value: Any, origin: str) -> None:
        kind = _type_of(name)
        try:
            if kind is None:
                message = "unknown key" + closest(name, list(BY_NAME))
                raise ConfigError(message, file=origin, key=name)
            self.settings[name] = checked(kind, value, Setting(name, None, origin))
        except ConfigError as error:
            self.errors.append(error)


def _type_of(name: str) -> Any:
    if name in BY_NAME:
        return BY_NAME[name].type
    match name.split("."):
        case ["plugins", _, "enabled"]:
            return PLUGIN_ENABLED
        case ["plugins", _, "period", cost] if cost in COST_CLASSES:
            return PLUGIN_PERIOD
    return None


def _build(settings: Mapping[str, Setting], dirs: Dirs) -> Config:
    made: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for key in KEYS:
        if key.name in settings:
            made[key.section][key.field] = settings[key.name].value
    node = NodeConfig(**_node_defaults(dirs) | made["node"])
    made["collector"].setdefault("store_dir", node.state_dir / "store")
    return Config(
        node=node,
        cadence=_cadence(CadenceConfig(**made["cadence"]), made["cadence"]),
        broker=BrokerConfig(**made["broker"]),
        shipper=ShipperConfig(**made["shipper"]),
        capture=CaptureConfig(**made["capture"]),
        collector=CollectorConfig(**made["collector"]),
        plugins=_plugins(settings),
    )


def _node_defaults(dirs: Dirs) -> dict[str, Any]:
    return {"name": _host_name(), "state_dir": dirs.state, "run_dir": dirs.run}


def _host_name() -> str:
    fit = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname(), flags=re.ASCII)
    return fit.lstrip("._-")[:64] or "node"


def _cadence(cadence: CadenceConfig, said: Mapping[str, Any]) -> CadenceConfig:
    explicit = frozenset(cost for cost in COST_CLASSES if f"{cost}_ns" in said)
    if cadence.profile == "quiet" and "fast" not in explicit:
        cadence = replace(cadence, fast_ns=QUIET_FAST_NS)
    return replace(cadence, explicit=explicit)


def _plugins(settings: Mapping[str, Setting]) -> dict[str, PluginConfig]:
    tables: dict[str, dict[str, Setting]] = {}
    for setting in settings.values():
        if setting.name.startswith("plugins."):
            name, _, key = setting.name.removeprefix("plugins.").partition(".")
            tables.setdefault(name, {})[key] = setting
    return {name: _plugin(table) for name, table in sorted(tables.items())}


def _plugin(table: Mapping[str, Setting]) -> PluginConfig:
    """One plugin's table; key "" is the table itself."""
    own = {key: entry.value for key, entry in table.items() if key and key != "enabled"}
    return PluginConfig(
        enabled=table["enabled"].value if "enabled" in table else None,
        period_ns={
            key.removeprefix("period."): own.pop(key)
            for key in list(own)
            if key.startswith("period.")
        },
        keys=own,
        source={key: (entry.origin, entry.line) for key, entry in table.items()},
    )
