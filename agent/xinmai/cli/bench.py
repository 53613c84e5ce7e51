"""`xinmai bench`: the project's own figures, each beside its reference."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path

from xinmai.bench.figures import Figure
from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import note, print_json, print_table
from xinmai.errors import Usage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("what", choices=("sampler", "wire", "agent"))
    add_config_options(parser)
    add_json_option(parser)
    parser.add_argument("--pairs", type=int, default=7, help="interleaved pairs (default 7)")
    parser.add_argument(
        "--seconds",
        type=float,
        help="per side (10), or of the whole agent (300 streaming, 60 at its defaults)",
    )
    parser.add_argument(
        "--figure",
        action="append",
        default=[],
        metavar="NAME",
        help="sampler, agent: measure only this figure; may be repeated",
    )
    parser.add_argument(
        "--trace",
        type=Path,
        metavar="FILE.csv",
        help="wire: measure this trace (t_ns, then columns)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print; judging is the reader's business."""
    if args.pairs < 1:
        raise Usage(f"--pairs {args.pairs}: there is nothing to compare in less than one pair")
    measure = {"sampler": _sampler, "wire": _wire, "agent": _agent}[args.what]
    figures = measure(args)
    if args.json:
        print_json({"figures": [figure.to_map() for figure in figures]})
    else:
        print_table(
            (
                "figure",
                "value",
                "unit",
                "reference",
                "reference value",
                "ratio",
                "spread",
                "python",
                "bar",
                "verdict",
            ),
            [_row(figure) for figure in figures],
            right=("value", "reference value", "ratio", "spread", "python"),
        )
    return 0


def _sampler(args: argparse.Namespace) -> list[Figure]:
    from xinmai.bench import sampler

    only = _only(args, sampler.NAMES)
    return sampler.run(args.pairs, args.seconds or 10.0, note, only)


def _wire(args: argparse.Namespace) -> list[Figure]:
    from xinmai.bench import wire

    return wire.run(args.pairs, note, args.trace)


def _agent(args: argparse.Namespace) -> list[Figure]:
    from xinmai.bench import agent, stream

    config = config_from(args)
    only = _only(args, (*stream.NAMES, *agent.NAMES))
    figures: list[Figure] = []
    if not only.isdisjoint(stream.NAMES):
        figures += stream.run(config, args.pairs, args.seconds or 300.0, note)
    if not only.isdisjoint(agent.NAMES):
        figures += agent.run(config, args.seconds or 60.0, note)
    return [figure for figure in figures if figure.name in only]


def _only(args: argparse.Namespace, names: Collection[str]) -> frozenset[str]:
    unknown = [name for name in args.figure if name not in names]
    if unknown:
        raise Usage(f"--figure {unknown[0]}: bench {args.what} has {', '.join(names)}")
    return frozenset(args.figure or names)


def _row(figure: Figure) -> list[object]:
    return [
        figure.name,
        figure.why if figure.value is None else f"{figure.value:.4g}",
        figure.unit,
        figure.reference,
        _number(figure.reference_value),
        _number(figure.ratio),
        _number(figure.spread),
        _number(figure.python_value),
        figure.bar,
        figure.verdict,
    ]


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"
