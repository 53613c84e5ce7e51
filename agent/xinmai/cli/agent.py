"""`xinmai agent`: the daemon of a node."""

from __future__ import annotations

import argparse

from xinmai.cli.options import add_config_options, config_from
from xinmai.log import setup
from xinmai.manifest import find_plugins
from xinmai.parent import run_agent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM."""
    config = config_from(args)
    setup()
    return run_agent(config, find_plugins())
