"""`xinmai devices`: every device of this machine, without a daemon."""

from __future__ import annotations

import argparse
from typing import Any

from xinmai import clock
from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import note, print_json, print_table
from xinmai.cli.times import iso
from xinmai.config import Config
from xinmai.manifest import find_plugins
from xinmai.sampler.oneshot import Seen, look


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_config_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the devices; exit 1 when there is none, or a plugin that could did not deliver."""
    config = config_from(args)
    seen = look(config, find_plugins())
    rows = [row for entry in seen for row in device_rows(config, entry)]
    if args.json:
        print_json({"devices": rows})
    else:
        columns = ("hw_id", "vendor", "model", "serial_number", "pci_bdf", "index", "plugin")
        print_table(columns, [[row[column] for column in columns] for row in rows])
    return say_reasons(seen, quiet=args.json)


def device_rows(config: Config, seen: Seen) -> list[dict[str, Any]]:
    """As the view `devices`."""
    if seen.layout is None:
        return []
    now = iso(clock.wall_ns())
    return [
        {
            "edge": config.node.edge,
            "node": config.node.name,
            "hw_id": device.hw_id,
            "vendor": device.vendor,
            "model": device.model,
            "serial_number": device.serial_number,
            "parent": device.parent,
            "pci_bdf": device.pci_bdf,
            "index": device.index,
            "plugin": seen.plugin,
            "stand_in": seen.layout.stand_in,
            "present": True,
            "first_seen": now,
            "last_seen": now,
        }
        for device in seen.layout.devices
    ]


def say_reasons(seen: list[Seen], *, quiet: bool) -> int:
    """Name plugins that showed nothing or not all; 1 if one of them should have.

    Args:
        quiet: pass over those that are off or not for this machine.
    """
    for entry in seen:
        if entry.reason and not (quiet and entry.resting):
            note(f"plugin {entry.plugin}: {entry.reason}")
    failed = any(entry.reason and not entry.resting for entry in seen)
    return 0 if any(entry.layout for entry in seen) and not failed else 1
