"""Options that several commands share."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from xinmai.config import Config, Resolution, resolve
from xinmai.config_plugins import plugin_errors
from xinmai.errors import Usage


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """`--config FILE` and `--set KEY=VALUE`, both repeatable."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        action="append",
        help="read this file instead of those in /etc/xinmai; may be repeated",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="set one configuration key, such as cadence.profile=quiet; may be repeated",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def config_from(args: argparse.Namespace) -> Config:
    """The configuration a command line asks for, plugin tables included.

    Raises:
        ConfigError: the first problem; nothing should be started.
    """
    resolution = resolution_from(args)
    if resolution.errors:
        raise resolution.errors[0]
    return resolution.config


def resolution_from(args: argparse.Namespace) -> Resolution:
    """The same with origins and every problem."""
    resolution = resolve(args.config, flags=_flags(args.settings))
    return replace(resolution, errors=[*resolution.errors, *plugin_errors(resolution.config)])


def _flags(settings: list[str]) -> dict[str, str]:
    flags = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise Usage(f"--set {setting}: write KEY=VALUE")
        flags[key.strip()] = value.strip()
    return flags
