"""The configuration as text: a commented file, rows to print, the table of the documentation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from xinmai.config import Resolution
from xinmai.config_keys import BY_NAME, COST_CLASSES, KEYS, Key
from xinmai.config_model import Config
from xinmai.quantities import format_duration

_HEAD = """\
# Configuration of xinmai. Every key stands here with its default; remove the # to change one.
# A command line flag (--set KEY=VALUE) goes before the environment (XINMAI_BROKER_URL for
# broker.url), that before the files, those before the defaults. `xinmai config check` checks.
"""
_PLUGINS = """\
# One table per plugin; `xinmai plugin list` names them. A plugin that is not mentioned runs where
# its needs are met.
# [plugins.NAME]
# enabled = true
# period = { fast = "10ms" }   # by cost class: fast, slow, rare; obeyed whatever the calls cost
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One key as it is in force.

    Args:
        value: plain, as it would stand in a file.
        origin: `default`, or the file, environment variable, flag or key that decided.
    """

    key: Key
    value: Any
    origin: str
    line: int = 0


def value_of(config: Config, key: Key) -> Any:
    """The value in force of a key, as a file would say it."""
    return key.type.plain(getattr(getattr(config, key.section), key.field))


def rows(resolution: Resolution) -> list[Row]:
    """Every key with its value and origin."""
    return [_row(resolution, key) for key in KEYS]


def _row(resolution: Resolution, key: Key) -> Row:
    value = value_of(resolution.config, key)
    setting = resolution.settings.get(key.name)
    if setting:
        return Row(key, value, setting.origin, setting.line)
    if key.name == "cadence.fast" and resolution.config.cadence.profile == "quiet":
        return Row(key, value, "cadence.profile")
    return Row(key, value, "default")


@dataclass(frozen=True, slots=True)
class CadenceRow:
    """The period of a cost class, for all plugins or for one."""

    cost: str
    plugin: str
    period_ns: int
    explicit: bool


def cadences(config: Config) -> list[CadenceRow]:
    """Periods in force: first by class, then what single plugins were told."""
    found = [
        CadenceRow(cost, "", getattr(config.cadence, f"{cost}_ns"), cost in config.cadence.explicit)
        for cost in COST_CLASSES
    ]
    for name, plugin in config.plugins.items():
        found += [CadenceRow(cost, name, ns, True) for cost, ns in plugin.period_ns.items()]
    return found


def sample(config: Config) -> str:
    """A commented file; with every # before a key removed it means the same as `config`."""
    parts = [_HEAD]
    for section, keys in groupby(KEYS, key=lambda key: key.section):
        parts.append(f"[{section}]\n" + "\n".join(_commented(config, key) for key in keys))
    return "\n".join([*parts, _PLUGINS])


def _commented(config: Config, key: Key) -> str:
    text = f"{key.help} Allowed: {key.type.allowed}."
    if key.computed:
        text += f" Default: {key.computed}."
    wrapped = textwrap.wrap(text, 96, initial_indent="# ", subsequent_indent="# ")
    value = key.type.write(getattr(getattr(config, key.section), key.field))
    return "\n".join([*wrapped, f"# {key.leaf} = {value}", ""])


def reference() -> str:
    """The Markdown tables of docs/guide/configuration.md."""
    return "\n".join(_reference_lines()) + "\n"


def _reference_lines() -> Iterator[str]:
    for section, keys in groupby(KEYS, key=lambda key: key.section):
        yield f"### [{section}]"
        yield ""
        yield "| key | default | allowed | what it does |"
        yield "|---|---|---|---|"
        for key in keys:
            default = key.computed or f"`{key.type.write(key.default)}`"
            cells = (f"`{key.leaf}`", default, key.type.allowed, key.help)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


def period_text(period_ns: int) -> str:
    """`100ms (10 Hz)`."""
    rate = 1e9 / period_ns
    return f"{format_duration(period_ns)} ({rate:.4g} Hz)"


def cost_help(cost: str) -> str:
    """What belongs to a cost class."""
    return BY_NAME[f"cadence.{cost}"].help
