"""`xinmai doctor`."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from xinmai.cli.options import add_config_options, add_json_option, resolution_from
from xinmai.cli.output import print_json, print_table, say
from xinmai.doctor import diagnose
from xinmai.manifest import find_plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Configuration and `--json`."""
    add_config_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 1 where a check fails; warnings and skips are fine."""
    checks = list(diagnose(resolution_from(args), find_plugins()))
    failed = [check for check in checks if check.state == "fail"]
    if args.json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        print_table(
            ("check", "state", "what", "fix"),
            ((check.id, check.state, check.message, check.fix) for check in checks),
        )
        say("ready" if not failed else f"not ready: {', '.join(check.id for check in failed)}")
    return 1 if failed else 0
