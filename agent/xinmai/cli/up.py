"""`xinmai up`: the main job on one machine, nothing to install first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import print_json, print_table
from xinmai.clock import SECOND_NS
from xinmai.quantities import duration_ns
from xinmai.standin import parse_wanted
from xinmai.up.run import Options, Up, place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_config_options(parser)
    add_json_option(parser)
    parser.add_argument(
        "--for",
        dest="duration",
        metavar="TIME",
        type=duration_ns,
        help="end by itself, such as 20s",
    )
    parser.add_argument(
        "--broker",
        choices=("auto", "mosquitto", "amqtt"),
        default="auto",
        help="which broker to run (auto: mosquitto where it is installed)",
    )
    parser.add_argument(
        "--stand-in",
        dest="stand_ins",
        metavar="NAME[:DEVICES][,…]",
        type=parse_wanted,
        default=[],
        help="read simulated devices too, such as neutral:8 (xinmai standin list)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--keep", metavar="DIR", type=Path, help="put the store there")
    where.add_argument("--temp", action="store_true", help="leave nothing behind")


def run(args: argparse.Namespace) -> int:
    """Exit 0 when the account closes and something was stored."""
    options = Options(
        for_ns=args.duration,
        keep=args.keep,
        temp=args.temp,
        broker=args.broker,
        stand_ins=args.stand_ins,
    )
    with place(config_from(args), options) as config, _progress(args) as tick:
        tell = _tell_stderr if args.json else _tell
        summary = Up(config, options, _passed_on(args)).run(tell, tick)
    if args.json:
        print_json(summary, indent=None)
    else:
        _print(summary)
    closed = summary["samples_taken"] == summary["samples_stored"] + summary["samples_lost"]
    return 0 if closed and summary["samples_stored"] else 1


def _tell(line: str) -> None:
    print(line, flush=True)


def _tell_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _passed_on(args: argparse.Namespace) -> list[str]:
    out: list[str] = []
    for file in args.config or ():
        out += ["--config", str(file.absolute())]
    for setting in args.settings:
        out += ["--set", setting]
    return out


@contextmanager
def _progress(args: argparse.Namespace) -> Iterator[Callable[[float], None]]:
    """A bar over `--for` on a terminal; nothing elsewhere."""
    if args.duration is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("sampling", total=args.duration / SECOND_NS)

        def tick(seconds: float) -> None:
            bar.update(task, completed=seconds, refresh=True)

        yield tick


def _print(summary: dict[str, Any]) -> None:
    rows = [(key, value) for key, value in summary.items() if key != "lost_by_reason"]
    rows += [(f"lost: {reason}", n) for reason, n in summary["lost_by_reason"].items()]
    print_table(("this run", ""), rows, right=("",))
