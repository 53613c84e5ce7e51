"""The `[plugins.NAME]` tables held against what is installed and what each plugin declares."""

from __future__ import annotations

from collections.abc import Mapping

from xinmai.config_file import bare_message, closest
from xinmai.config_model import Config, PluginConfig
from xinmai.errors import ConfigError, PluginError
from xinmai.manifest import PluginSource, check_config, find_plugins


def plugin_errors(
    config: Config, sources: Mapping[str, PluginSource] | None = None
) -> list[ConfigError]:
    """Every table that names no plugin, or has a key or value its plugin does not allow.

    A plugin that is itself broken is no fault of the configuration; `doctor` shows it.

    Args:
        sources: installed plugins; looked up where None, and only when there is a table.
    """
    if not config.plugins:
        return []
    installed = find_plugins() if sources is None else sources
    problems = (_problem(name, table, installed) for name, table in config.plugins.items())
    return [problem for problem in problems if problem]


def _problem(
    name: str, table: PluginConfig, installed: Mapping[str, PluginSource]
) -> ConfigError | None:
    if name not in installed:
        known = f"no such plugin; installed: {', '.join(installed)}"
        return _placed(ConfigError(known + closest(name, list(installed))), name, "", table)
    try:
        check_config(installed[name].manifest, table.keys)
    except ConfigError as error:
        return _placed(error, name, error.key.rpartition(".")[2], table)
    except PluginError:
        return None
    return None


def _placed(error: ConfigError, name: str, key: str, table: PluginConfig) -> ConfigError:
    file, line = table.source.get(key) or next(iter(table.source.values()), ("", 0))
    dotted = ".".join(part for part in ("plugins", name, key) if part)
    return ConfigError(bare_message(error), file=file, line=line, key=dotted)
