"""`xinmai status`: health of the running agent; never waits for it longer than two seconds."""

from __future__ import annotations

import argparse
import json
import socket
from pathlib import Path
from typing import Any

from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import note, print_json, print_table, say
from xinmai.shipper.status import SOCKET_NAME

TIMEOUT_S = 2.0
_CHUNK_BYTES = 65536


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_config_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when every plugin that should has fresh data."""
    path = config_from(args).node.run_dir / SOCKET_NAME
    try:
        answer = ask(path)
    except OSError as error:
        if args.json:
            print_json(_absent(str(error)))
        note(f"no agent answers at {path}: {error}; start one with: xinmai agent (or xinmai up)")
        return 1
    if args.json:
        print_json({key: answer[key] for key in _absent("")})
    else:
        _print(answer)
    return 0 if answer["healthy"] else 1


def ask(path: Path) -> dict[str, Any]:
    """The agent's whole answer.

    Raises:
        OSError: nobody listens, or no answer within TIMEOUT_S.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(str(path))
        parts = []
        while part := sock.recv(_CHUNK_BYTES):
            parts.append(part)
    try:
        answer: dict[str, Any] = json.loads(b"".join(parts))
    except ValueError as error:
        raise OSError("the agent's answer broke off") from error
    return answer


def _absent(error: str) -> dict[str, Any]:
    """The shape of the answer, with nothing in it."""
    transport = {"connected": False, "error": error}
    return {"healthy": False, "plugins": [], "lanes": [], "spool": [], "transport": transport}


def _print(answer: dict[str, Any]) -> None:
    transport = answer["transport"]
    link = f"connected to {transport['url']} (MQTT {transport['protocol']})"
    if not transport["connected"]:
        link = f"not connected to {transport['url']}: {transport['error']}"
    say(f"{'healthy' if answer['healthy'] else 'NOT HEALTHY'}: {answer['node']}, {link}")
    print_table(
        ("plugin", "state", "newest, s", "why"),
        [
            (one["name"], one["state"], _seconds(one["newest_age_s"]), one["reason"])
            for one in answer["plugins"]
        ],
        right=("newest, s",),
    )
    print_table(
        ("plugin", "lane", "period, ms", "series", "rows", "missed", "late mean, µs", "ring, s"),
        [
            (
                one["plugin"],
                one["lane"],
                f"{one['period_ns'] / 1e6:g}",
                one["series"],
                one["committed"],
                one["missed"],
                _micros(one["late_mean_ns"]),
                f"{one['span_s']:g}",
            )
            for one in answer["lanes"]
        ],
        right=("period, ms", "series", "rows", "missed", "late mean, µs", "ring, s"),
    )
    print_table(
        ("spool", "bytes", "records"),
        [(one["stream"], one["bytes"], one["records"]) for one in answer["spool"]],
        right=("bytes", "records"),
    )


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _micros(value: int | None) -> str | None:
    return None if value is None else f"{value / 1000:.0f}"
