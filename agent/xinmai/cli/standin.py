"""`xinmai standin list` and `xinmai standin build NAME --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

from xinmai.cli.options import add_json_option
from xinmai.cli.output import print_json, print_table
from xinmai.standin import build, find_stand_ins, stand_in_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two actions."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="which SDKs can be simulated")
    add_json_option(listed)
    listed.set_defaults(action=_list)
    built = actions.add_parser("build", help="compile one, and print the library's path")
    built.add_argument("name", metavar="NAME", help="as `xinmai standin list` prints it")
    built.add_argument("--out", metavar="DIR", type=Path, required=True, help="where it goes")
    add_json_option(built)
    built.set_defaults(action=_build)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    return int(args.action(args))


def _list(args: argparse.Namespace) -> int:
    found = find_stand_ins().values()
    if args.json:
        entries = [
            {"name": one.name, "file": one.file, "plugin": one.plugin, "summary": one.summary}
            for one in found
        ]
        print_json({"stand_ins": entries})
        return 0
    rows = ((one.name, one.file, one.plugin, one.summary) for one in found)
    print_table(("stand-in", "library", "plugin", "what"), rows)
    return 0


def _build(args: argparse.Namespace) -> int:
    library = build(stand_in_named(args.name), args.out.absolute())
    if args.json:
        print_json({"library": str(library)})
    else:
        print(library)
    return 0
