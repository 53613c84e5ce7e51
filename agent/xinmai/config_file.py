"""Configuration files as flat settings, each with the file and line it came from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from xinmai.config_keys import BY_NAME, COST_CLASSES, PLUGIN_ENABLED, PLUGIN_PERIOD, SECTIONS
from xinmai.config_lines import KeyPath, key_lines, syntax_error
from xinmai.config_values import ValueType, toml_text
from xinmai.errors import ConfigError

PLUGIN_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setting:
    """A checked value and where it was said.

    Args:
        name: dotted; for a plugin `plugins.NAME.KEY`.
        origin: file, environment variable or flag, "" for a default.
        line: 0 where there is none.
    """

    name: str
    value: Any
    origin: str = ""
    line: int = 0


def closest(word: str, allowed: Sequence[str]) -> str:
    """`; did you mean "x"?`, or nothing where no allowed word is near."""
    near = get_close_matches(word, allowed, 1)
    return f'; did you mean "{near[0]}"?' if near else ""


def bare_message(error: ConfigError) -> str:
    """What is wrong, without the place and the key that stand before it."""
    where = f"{error.file}:{error.line}" if error.line else error.file
    prefix = "".join(f"{part}: " for part in (where, error.key) if part)
    return str(error).removeprefix(prefix)


def checked(kind: ValueType, value: Any, where: Setting) -> Setting:
    """A setting with its value read.

    Raises:
        ConfigError: the value is not allowed.
    """
    try:
        read = kind.read(value)
    except (ValueError, TypeError, RuntimeError) as error:
        message = f"{error}; allowed: {kind.allowed}"
        raise ConfigError(message, file=where.origin, line=where.line, key=where.name) from error
    return Setting(where.name, read, where.origin, where.line)


class ConfigFile:
    """One file, read at once.

    `settings` holds all that is right in it, by line; `errors` all that is not, so that a person
    sees every problem in one go.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings: list[Setting] = []
        self.errors: list[ConfigError] = []
        self._lines: Mapping[KeyPath, int] = {}
        for section, body in self._parse().items():
            self._section(section, body)
        self.settings.sort(key=lambda setting: setting.line)
        self.errors.sort(key=lambda error: error.line)

    def _parse(self) -> Mapping[str, Any]:
        try:
            text = self.path.read_bytes().decode().replace("\r\n", "\n")
        except OSError as error:
            self._file_error(f"cannot read: {error.strerror}", 0)
            return {}
        except UnicodeDecodeError as error:
            self._file_error("not UTF-8", error.object.count(b"\n", 0, error.start) + 1)
            return {}
        try:
            parsed = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            message, line = syntax_error(error, text)
            self._file_error(f"not TOML: {message}", line)
            return {}
        except RecursionError:
            self._file_error("nested too deeply", 0)
            return {}
        self._lines = key_lines(text)
        return parsed

    def _section(self, section: str, body: Any) -> None:
        if section != "plugins" and section not in SECTIONS:
            tables = [*SECTIONS, "plugins"]
            self._refuse((section,), f"unknown table; tables: {', '.join(tables)}", tables)
        elif not isinstance(body, dict):
            name = "plugins.NAME" if section == "plugins" else section
            self._refuse((section,), f"is a table: write [{name}]")
        elif section == "plugins":
            for name, table in body.items():
                self._plugin(name, table)
        else:
            for leaf, value in body.items():
                self._known(section, leaf, value)

    def _known(self, section: str, leaf: str, value: Any) -> None:
        key = BY_NAME.get(f"{section}.{leaf}")
        if key:
            self._value((section, leaf), key.type, value)
        else:
            leaves = [entry.leaf for entry in BY_NAME.values() if entry.section == section]
            message = f"unknown key; keys of [{section}]: {', '.join(leaves)}"
            self._refuse((section, leaf), message, leaves)

    def _plugin(self, name: str, table: Any) -> None:
        path = ("plugins", name)
        if not PLUGIN_NAME.fullmatch(name):
            self._refuse(path, "not a plugin's name: a-z 0-9 _, beginning with a letter")
        elif not isinstance(table, dict):
            self._refuse(path, f"is a table: write [plugins.{name}]")
        else:
            self._add(path, None)
            for leaf, value in table.items():
                self._plugin_key((*path, leaf), value)

    def _plugin_key(self, path: KeyPath, value: Any) -> None:
        if path[2] == "enabled":
            self._value(path, PLUGIN_ENABLED, value)
        elif not PLUGIN_NAME.fullmatch(path[2]):
            self._refuse(path, "not a plugin's key: a-z 0-9 _, beginning with a letter")
        elif path[2] != "period":
            self._add(path, value)
        elif not isinstance(value, dict):
            self._refuse(
                path, f'got {toml_text(value)}; allowed: a table such as {{ fast = "1ms" }}'
            )
        else:
            for cost, period in value.items():
                self._period((*path, cost), period)

    def _period(self, path: KeyPath, period: Any) -> None:
        if path[3] in COST_CLASSES:
            self._value(path, PLUGIN_PERIOD, period)
        else:
            message = f"unknown cost class; classes: {', '.join(COST_CLASSES)}"
            self._refuse(path, message, COST_CLASSES)

    def _value(self, path: KeyPath, kind: ValueType, value: Any) -> None:
        try:
            self.settings.append(checked(kind, value, self._at(path)))
        except ConfigError as error:
            self.errors.append(error)

    def _add(self, path: KeyPath, value: Any) -> None:
        self.settings.append(replace(self._at(path), value=value))

    def _at(self, path: KeyPath) -> Setting:
        return Setting(".".join(path), None, str(self.path), self._lines.get(path, 0))

    def _refuse(self, path: KeyPath, message: str, allowed: Sequence[str] = ()) -> None:
        where = self._at(path)
        text = message + closest(path[-1], allowed)
        self.errors.append(ConfigError(text, file=where.origin, line=where.line, key=where.name))

    def _file_error(self, message: str, line: int) -> None:
        self.errors.append(ConfigError(message, file=str(self.path), line=line))
