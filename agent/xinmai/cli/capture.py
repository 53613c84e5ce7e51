"""`xinmai capture [NODE]`: every reading of a node around now, kept, summarised or written out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from xinmai import clock
from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import note, print_json, print_table, say
from xinmai.cli.times import iso
from xinmai.clock import SECOND_NS
from xinmai.errors import Usage, XinmaiError
from xinmai.quantities import duration_ns
from xinmai.storeplace import find_store

if TYPE_CHECKING:
    from xinmai.cli.capturesource import Running, Source

POLL_S: Final = 0.25
PATIENCE_NS: Final = 60 * SECOND_NS
"""Beyond the window: an open capture may end later, and data has a way to go."""


def _window_ns(text: str) -> int:
    return 0 if text in ("0", "0s") else duration_ns(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Node, window, file; `--list` and `--id` for captures that are there."""
    parser.add_argument(
        "node", metavar="NODE", nargs="?", help="may be left out where only one node is online"
    )
    parser.add_argument("--edge", metavar="EDGE", help="where several edges have such a node")
    for name, words in (("before", "before now"), ("after", "from now on")):
        parser.add_argument(
            f"--{name}",
            metavar="TIME",
            type=_window_ns,
            default=5 * SECOND_NS,
            help=f"how much of the time {words}, such as 500ms (default: 5s)",
        )
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="write every reading there: .parquet or .csv"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--list", action="store_true", help="the captures that are there")
    which.add_argument("--id", metavar="ID", help="one that is there, instead of a new one")
    parser.add_argument(
        "--store",
        metavar="DIR",
        type=Path,
        help="the store to ask; where left out, that of the last xinmai up or of the configuration",
    )
    add_config_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Exit 1 where a capture is refused, or is not complete in time."""
    from xinmai.cli.capturesource import running, source_of

    store = args.store.absolute() if args.store else find_store(config_from(args))
    kind = _kind(args.out)
    if args.list:
        return _list(source_of(store).listed(args.edge, args.node), as_json=args.json)
    if args.id:
        source: Source = source_of(store)
        detail = source.detail(args.id, args.edge, args.node)
        if detail is None:
            raise XinmaiError(f"no capture {args.id} in {store}: xinmai capture --list shows all")
    else:
        source, detail = _new(running(store), args)
    if kind is not None:
        _write(source, detail["capture"], kind, args.out)
    if args.json:
        print_json(detail)
    else:
        _print(detail)
    return 0 if detail["capture"]["complete"] else 1


def _kind(out: Path | None) -> str | None:
    if out is None:
        return None
    kind = out.suffix.lower().removeprefix(".")
    if kind not in ("parquet", "csv"):
        raise Usage(f"--out {out}: the name ends in .parquet or .csv")
    return kind


def _new(collector: Running, args: argparse.Namespace) -> tuple[Running, dict[str, Any]]:
    """Ask for a capture and wait until all of it is stored."""
    edge, node = _node(collector.nodes(), args.edge, args.node)
    before_s, after_s = args.before / SECOND_NS, args.after / SECOND_NS
    capture_id = collector.capture(edge, node, before_s, after_s)
    note(f"capture {capture_id} of {node}: {before_s:g} s before now and {after_s:g} s after")
    began_ns = clock.mono_ns()
    with_progress = _progress(args.after)

    def look() -> tuple[dict[str, Any] | None, float]:
        return collector.detail(capture_id, edge, node), (clock.mono_ns() - began_ns) / SECOND_NS

    detail, waited_s = look()
    while detail is None or not detail["capture"]["complete"]:
        if waited_s * SECOND_NS > args.after + PATIENCE_NS:
            break
        with_progress(waited_s, detail)
        time.sleep(POLL_S)
        detail, waited_s = look()
    if detail is None:
        raise XinmaiError(
            f"nothing of capture {capture_id} came within {waited_s:.0f} s: "
            f"xinmai status on {node} shows whether its agent can send"
        )
    if not detail["capture"]["complete"]:
        note(f"capture {capture_id} is not complete after {waited_s:.0f} s; this is what is there")
    return collector, detail


def _node(nodes: list[dict[str, Any]], edge: str | None, node: str | None) -> tuple[str, str]:
    """The one node that is meant.

    Raises:
        Usage: none, or more than one.
    """
    found = [
        one
        for one in nodes
        if (node is None and one["online"] or one["node"] == node) and edge in (None, one["edge"])
    ]
    if len(found) == 1:
        return found[0]["edge"], found[0]["node"]
    said = ", ".join(f"{one['node']} on {one['edge']}" for one in found or nodes) or "none"
    if found:
        raise Usage(f"several nodes could be meant, name NODE (and --edge): {said}")
    if node is None:
        raise Usage(f"no node is online; the collector knows: {said}")
    raise Usage(f"the collector knows no node {node}; it knows: {said}")


def _progress(after_ns: int) -> Callable[[float, dict[str, Any] | None], None]:
    """One line that is overwritten on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda _waited_s, _detail: None

    def tell(waited_s: float, detail: dict[str, Any] | None) -> None:
        readings = detail["capture"]["readings"] if detail else 0
        line = f"{waited_s:.1f} of {after_ns / SECOND_NS:g} s, {readings} readings stored"
        print(f"\rxinmai: {line}\x1b[K", end="\r", file=sys.stderr, flush=True)

    return tell


def _write(source: Source, capture: dict[str, Any], kind: str, out: Path) -> None:
    """The file appears when it is whole."""
    new = out.with_name(f".{out.name}.new")
    try:
        with new.open("wb") as file:
            source.write(capture, kind, file)
        new.replace(out)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    note(f"{capture['readings']} readings written to {out}")


def _list(captures: list[dict[str, Any]], *, as_json: bool) -> int:
    if as_json:
        print_json(captures)
        return 0
    rows = [
        (
            one["id"],
            iso(int(one["at_ns"])),
            one["node"],
            one["trigger"],
            one["cause"],
            f"{_seconds(one):.3f}",
            one["readings"],
            "yes" if one["complete"] else "no",
        )
        for one in captures
    ]
    columns = ("id", "time", "node", "trigger", "cause", "seconds", "readings", "complete")
    print_table(columns, rows, right=("seconds", "readings"))
    return 0


def _seconds(capture: dict[str, Any]) -> float:
    return (int(capture["to_ns"]) - int(capture["from_ns"])) / SECOND_NS


def _print(detail: dict[str, Any]) -> None:
    capture = detail["capture"]
    say(
        f"{capture['id']}  {capture['node']}  {iso(int(capture['at_ns']))}  {capture['trigger']}: "
        f"{capture['cause']}"
    )
    rows = [
        (
            one["hw_id"],
            one["metric"],
            " ".join(f"{key}={value}" for key, value in sorted(one["attributes"].items())),
            one["readings"],
            *(_number(one[name]) for name in ("min", "max", "mean")),
            one["unit"],
            _number(one["rate_hz"]),
        )
        for one in detail["series"]
    ]
    columns = ("device", "metric", "", "readings", "min", "max", "mean", "unit", "per s")
    print_table(columns, rows, right=("readings", "min", "max", "mean", "per s"))
    losses = [f"{capture[name]} {name}" for name in ("missed", "overrun") if capture[name]]
    note(
        f"{_seconds(capture):.3f} s, {capture['readings']} readings"
        + "".join(f", {text}" for text in losses)
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
