"""`xinmai explain SERIES`: what a number means and where it comes from."""

from __future__ import annotations

import argparse
from typing import Any

from xinmai.catalog import CATALOG, Kind
from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import print_json, print_table, say
from xinmai.config import Config
from xinmai.explain import Supply, read_series, split_name, stored_series, supplies, unknown
from xinmai.manifest import PluginSource, find_plugins
from xinmai.quantities import format_duration
from xinmai.storeplace import find_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Name, configuration, `--json`."""
    parser.add_argument("series", metavar="SERIES", help="METRIC, or METRIC@HW_ID for one device")
    add_config_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 2 where nobody knows the name."""
    config, sources = config_from(args), find_plugins()
    metric, hw_id = split_name(args.series)
    ways = supplies(metric, sources.values())
    series, origin = _series(config, sources, metric, bool(ways))
    if metric not in CATALOG and not ways and not series:
        raise unknown(metric, sources.values())
    series = [row for row in series if hw_id is None or row["hw_id"] == hw_id]
    report = _report(metric, ways, series, origin)
    if args.json:
        print_json(report)
    else:
        _print(report)
    return 0


def _series(
    config: Config, sources: dict[str, PluginSource], metric: str, supplied: bool
) -> tuple[list[dict[str, Any]], str]:
    stored = stored_series(find_store(config), metric)
    if stored or not supplied:
        return stored, "the store" if stored else ""
    read = read_series(config, sources, metric)
    return read, "this machine" if read else ""


def _report(
    metric: str, ways: list[Supply], series: list[dict[str, Any]], origin: str
) -> dict[str, Any]:
    entry = CATALOG.get(metric)
    first = ways[0].metric if ways else None
    known = entry or first
    return {
        "metric": metric,
        "text": entry.text if entry else ways[0].text if ways else "",
        "unit": known.unit if known else series[0]["unit"],
        "kind": str(known.kind) if known else series[0]["kind"],
        "low": entry.low if entry else None,
        "high": entry.high if entry else None,
        "attributes": list(entry.attributes) if entry else [],
        "plugins": [_way(way) for way in ways],
        "series_from": origin,
        "series": series,
    }


def _way(way: Supply) -> dict[str, Any]:
    metric = way.metric
    return {
        "plugin": way.plugin,
        "native": metric.native,
        "native_unit": metric.native_unit,
        "scale": metric.scale[0] / metric.scale[1],
        "cost": str(metric.cost),
        "refresh_ns": metric.refresh_ns,
        "window_ns": metric.window_ns,
        "width_bits": metric.width_bits if metric.kind is Kind.COUNTER else None,
        "attributes": dict(metric.attributes),
    }


def _print(report: dict[str, Any]) -> None:
    say(f"{report['metric']}: {report['text']}")
    bounds = [report["low"], report["high"]]
    limits = " to ".join("?" if bound is None else f"{bound:g}" for bound in bounds)
    say(f"{report['kind']} in {report['unit']}, plausible {limits}")
    print_table(
        ("plugin", "native", "native unit", "x scale", "class", "refresh", "window", "bits"),
        (
            (
                way["plugin"],
                way["native"],
                way["native_unit"],
                f"{way['scale']:g}",
                way["cost"],
                _time(way["refresh_ns"]),
                _time(way["window_ns"]),
                way["width_bits"],
            )
            for way in report["plugins"]
        ),
        title="supplied by",
    )
    print_table(
        ("node", "device", "attributes", "native", "refresh", "window"),
        (
            (
                row["node"],
                row["hw_id"],
                " ".join(f"{key}={value}" for key, value in row["attributes"].items()),
                row["native"],
                _time(row["refresh_ns"]),
                _time(row["window_ns"]),
            )
            for row in report["series"]
        ),
        title=f"series, from {report['series_from']}" if report["series"] else "no series",
    )


def _time(duration_ns: int | None) -> str | None:
    return None if duration_ns is None else format_duration(duration_ns)
