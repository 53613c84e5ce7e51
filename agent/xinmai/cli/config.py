"""`xinmai config init|check|print`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from xinmai.cli.options import add_config_options, add_json_option, resolution_from
from xinmai.cli.output import note, print_json, print_table, say
from xinmai.config import Config, NodeConfig, Resolution, load
from xinmai.config_file import bare_message
from xinmai.config_text import Row, cadences, cost_help, period_text, rows, sample
from xinmai.errors import Usage
from xinmai.quantities import format_duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Three actions."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    init = actions.add_parser("init", help="write a commented file with every default")
    init.add_argument("--out", metavar="FILE", type=Path, help="standard output where left out")
    init.add_argument("--force", action="store_true", help="replace the file if it exists")
    init.set_defaults(action=_init)
    check = actions.add_parser("check", help="every problem with file and line; exit code 2")
    check.set_defaults(action=_check)
    shown = actions.add_parser("print", help="what is in force, and where it comes from")
    shown.set_defaults(action=_print)
    for action in (check, shown):
        add_config_options(action)
        add_json_option(action)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    return int(args.action(args))


def _init(args: argparse.Namespace) -> int:
    text = sample(Config(NodeConfig(name=load([], environment={}).node.name)))
    if args.out is None:
        print(text, end="")
        return 0
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if args.force else os.O_EXCL)
    try:
        file = os.open(args.out, flags, 0o644)
    except FileExistsError as error:
        raise Usage(f"{args.out} exists; --force replaces it") from error
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    note(f"wrote {args.out}")
    return 0


def _check(args: argparse.Namespace) -> int:
    resolution = resolution_from(args)
    if args.json:
        print_json(_check_report(resolution))
    else:
        for error in resolution.errors:
            note(str(error))
        if not resolution.errors:
            say(f"fine: {_files(resolution)}")
    return 2 if resolution.errors else 0


def _check_report(resolution: Resolution) -> dict[str, Any]:
    return {
        "ok": not resolution.errors,
        "files": [str(path) for path in resolution.files],
        "errors": [
            {
                "file": error.file,
                "line": error.line,
                "key": error.key,
                "message": bare_message(error),
            }
            for error in resolution.errors
        ],
    }


def _files(resolution: Resolution) -> str:
    return ", ".join(map(str, resolution.files)) or "no file, defaults only"


def _print(args: argparse.Namespace) -> int:
    resolution = resolution_from(args)
    if resolution.errors:
        raise resolution.errors[0]
    if args.json:
        print_json(_print_report(resolution))
        return 0
    say(f"files: {_files(resolution)}")
    print_table(("key", "value", "from"), map(_cells, rows(resolution)))
    print_table(
        ("class", "period", "set by", "what"),
        (
            (
                row.cost,
                period_text(row.period_ns),
                _set_by(row.plugin, row.explicit),
                cost_help(row.cost),
            )
            for row in cadences(resolution.config)
        ),
        title="cadences, never faster than a sensor's declared refresh",
    )
    plugins = resolution.config.plugins
    if plugins:
        print_table(
            ("plugin", "enabled", "keys"),
            ((name, _enabled(plugin.enabled), plugin.keys) for name, plugin in plugins.items()),
        )
    return 0


def _cells(row: Row) -> tuple[str, str, str]:
    origin = f"{row.origin}:{row.line}" if row.line else row.origin
    value = row.key.type.write(row.key.type.read(row.value))
    return row.key.name, value, origin


def _set_by(plugin: str, explicit: bool) -> str:
    return f"plugins.{plugin}.period" if plugin else "configuration" if explicit else "default"


def _enabled(enabled: bool | None) -> str:
    return "when its needs are met" if enabled is None else str(enabled).lower()


def _print_report(resolution: Resolution) -> dict[str, Any]:
    return {
        "files": [str(path) for path in resolution.files],
        "keys": [
            {
                "key": row.key.name,
                "value": row.value,
                "from": row.origin,
                "line": row.line,
                "environment": row.key.environment,
                "allowed": row.key.type.allowed,
                "help": row.key.help,
            }
            for row in rows(resolution)
        ],
        "cadences": [
            {
                "class": row.cost,
                "plugin": row.plugin,
                "period": format_duration(row.period_ns),
                "period_ns": row.period_ns,
                "explicit": row.explicit,
            }
            for row in cadences(resolution.config)
        ],
        "plugins": {
            name: {"enabled": plugin.enabled, "keys": dict(plugin.keys)}
            for name, plugin in resolution.config.plugins.items()
        },
    }
