"""`xinmai read`: every series once, with value or reason, without a daemon."""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from xinmai import clock
from xinmai.api import Reason
from xinmai.cli.devices import say_reasons
from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import print_json, print_table
from xinmai.clock import Anchor
from xinmai.manifest import find_plugins
from xinmai.sampler.oneshot import Seen, cells, look
from xinmai.values import base_value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_config_options(parser)
    add_json_option(parser)
    parser.add_argument("pattern", nargs="?", default="*", help="metrics to show, such as hw.*")


def run(args: argparse.Namespace) -> int:
    """Print the readings; exit 1 when there is none, or a plugin that could did not deliver."""
    seen = look(config_from(args), find_plugins())
    anchor = clock.anchor()
    readings = [
        one
        for entry in seen
        for one in _readings(entry, anchor)
        if fnmatch(one["metric"], args.pattern)
    ]
    if args.json:
        print_json({"readings": readings})
    else:
        print_table(
            ("plugin", "device", "metric", "attributes", "value", "unit", "native"),
            [_row(one) for one in readings],
            right=("value",),
        )
    return say_reasons(seen, quiet=args.json)


def _readings(seen: Seen, anchor: Anchor) -> Iterator[dict[str, Any]]:
    if seen.layout is None:
        return
    for lane in seen.layout.lanes:
        rows = seen.rows.get(lane.name)
        if rows is None:
            continue
        time_ns = anchor.wall_ns(array("q", rows.begin_ns)[0])
        for index, cell, reason, code in cells(seen.layout, lane, rows):
            series = seen.layout.series[index]
            yield {
                "time_ns": time_ns,
                "plugin": seen.plugin,
                "hw_id": series.hw_id,
                "metric": series.metric,
                "attributes": dict(series.attributes),
                "unit": series.unit,
                "value": None if reason else base_value(cell, series.type, series.scale),
                "raw": None if reason else cell,
                "scale": series.scale[0] / series.scale[1],
                "reason": _reason(reason, code),
                "native": series.native,
            }


def _reason(reason: int, code: int) -> str | None:
    if not reason:
        return None
    text = Reason(reason).text
    return f"{text}({code})" if reason == Reason.VENDOR_ERROR else text


def _row(one: dict[str, Any]) -> list[object]:
    attributes = " ".join(f"{key}={value}" for key, value in sorted(one["attributes"].items()))
    value = one["reason"] if one["value"] is None else f"{one['value']:.6g}"
    return [
        one["plugin"],
        one["hw_id"],
        one["metric"],
        attributes,
        value,
        one["unit"],
        one["native"],
    ]
