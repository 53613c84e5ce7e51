"""`xinmai plugin list`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import print_json, print_table
from xinmai.config import Config, PluginConfig
from xinmai.errors import PluginError
from xinmai.manifest import PluginSource, check_config, find_plugins, needs_met


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action so far."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="name, vendor, and whether its needs are met here")
    add_config_options(listed)
    add_json_option(listed)
    listed.set_defaults(action=_list)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    return int(args.action(args))


def _list(args: argparse.Namespace) -> int:
    config = config_from(args)
    entries = [_entry(source, config) for source in find_plugins().values()]
    if args.json:
        print_json({"plugins": entries})
        return 0
    print_table(
        ("plugin", "vendor", "state", "what", "fix"),
        (
            (
                entry["name"],
                entry["vendor"] or None,
                entry["state"],
                _reason(entry),
                "; ".join(dict.fromkeys(need["fix"] for need in entry["missing"])),
            )
            for entry in entries
        ),
    )
    return 0


def _reason(entry: Mapping[str, Any]) -> str:
    missing = "; ".join(f"cannot {need['what']} {need['on']}" for need in entry["missing"])
    return missing or str(entry["problem"] or entry["summary"])


def _entry(source: PluginSource, config: Config) -> dict[str, Any]:
    entry = {
        "name": source.name,
        "vendor": "",
        "summary": "",
        "state": "broken",
        "problem": "",
        "missing": [],
        "folder": str(source.folder),
    }
    try:
        manifest = source.manifest
    except PluginError as error:
        return entry | {"problem": str(error)}
    table = config.plugins.get(source.name, PluginConfig())
    keys = check_config(manifest, table.keys)
    missing = needs_met(manifest, config.node.root, keys, optional=True)
    blocked = any(not need.optional for need in missing)
    off = table.enabled is False
    return entry | {
        "vendor": manifest.vendor,
        "summary": manifest.summary,
        "state": "off" if off else "missing" if blocked else "ready",
        "missing": [
            {"what": need.what, "on": need.on, "fix": need.fix, "optional": need.optional}
            for need in missing
        ],
    }
