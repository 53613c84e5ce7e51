"""`xinmai collector`: the daemon of an edge."""

from __future__ import annotations

import argparse

from xinmai.cli.options import add_config_options, config_from
from xinmai.log import setup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Configuration."""
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM."""
    from xinmai.collector.daemon import collector_main

    config = config_from(args)
    setup()
    return collector_main(config)
