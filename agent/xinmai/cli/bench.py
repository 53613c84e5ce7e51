"""`xinmai bench`: the project's own figures, each beside its reference."""

from __future__ import annotations

import argparse
from pathlib import Path

from xinmai.bench.figures import Figure
from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import note, print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("what", choices=("sampler", "wire", "agent"))
    add_config_options(parser)
    add_json_option(parser)
    parser.add_argument("--pairs", type=int, default=7, help="interleaved pairs (default 7)")
    parser.add_argument("--seconds", type=float, help="per side (10), or of the whole agent (60)")
    parser.add_argument(
        "--trace",
        type=Path,
        metavar="FILE.csv",
        help="wire: measure this trace (t_ns, then columns)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print; judging is the reader's business."""
    measure = {"sampler": _sampler, "wire": _wire, "agent": _agent}[args.what]
    figures = measure(args)
    if args.json:
        print_json({"figures": [figure.to_map() for figure in figures]})
    else:
        print_table(
            ("figure", "value", "unit", "reference", "reference value", "ratio", "spread"),
            [_row(figure) for figure in figures],
            right=("value", "reference value", "ratio", "spread"),
        )
    return 0


def _sampler(args: argparse.Namespace) -> list[Figure]:
    from xinmai.bench import sampler

    return sampler.run(args.pairs, args.seconds or 10.0, note)


def _wire(args: argparse.Namespace) -> list[Figure]:
    from xinmai.bench import wire

    return wire.run(args.pairs, note, args.trace)


def _agent(args: argparse.Namespace) -> list[Figure]:
    from xinmai.bench import agent

    return agent.run(config_from(args), args.seconds or 60.0, note)


def _row(figure: Figure) -> list[object]:
    return [
        figure.name,
        f"{figure.value:.4g}",
        figure.unit,
        figure.reference,
        _number(figure.reference_value),
        _number(figure.ratio),
        _number(figure.spread),
    ]


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"
