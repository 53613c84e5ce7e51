"""`xinmai query SQL`: over the store, whether a collector runs on it or not."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import note, print_json, print_table
from xinmai.storeplace import find_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Statement, store, `--json`."""
    parser.add_argument("sql", metavar="SQL", help="one SELECT; - reads it from standard input")
    parser.add_argument(
        "--store",
        metavar="DIR",
        type=Path,
        help="the store to ask; where left out, that of the last xinmai up or of the configuration",
    )
    add_config_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the rows; exit code 2 where the statement is wrong."""
    from xinmai.collector.query import query

    store = args.store.absolute() if args.store else find_store(config_from(args))
    rows = query(store, sys.stdin.read() if args.sql == "-" else args.sql)
    if args.json:
        print_json(rows, indent=None)
        return 0
    if rows:
        print_table(tuple(rows[0]), ([_cell(value) for value in row.values()] for row in rows))
    note(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")
    return 0


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False)
