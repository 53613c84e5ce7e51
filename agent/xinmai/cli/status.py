"""`xinmai status`: health of the running agent; never waits for it longer than two seconds."""

from __future__ import annotations

import argparse
import json
import socket
from pathlib import Path
from typing import Any

from xinmai import clock
from xinmai.cli.options import add_config_options, add_json_option, config_from
from xinmai.cli.output import note, print_json, print_table, say
from xinmai.cli.times import iso
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
        why = _explained(path, error)
        if args.json:
            print_json(_absent(why))
        note(why)
        return 1
    if args.json:
        print_json({key: answer[key] for key in _absent("")})
    else:
        _print(answer)
    return 0 if answer["healthy"] else 1


def ask(path: Path) -> dict[str, Any]:
    """The agent's whole answer.

    Raises:
        OSError: nobody listens, no answer within TIMEOUT_S, or one that is not understood.
    """
    deadline_ns = clock.mono_ns() + int(TIMEOUT_S * clock.SECOND_NS)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(str(path))
        parts = []
        while part := _receive(sock, deadline_ns):
            parts.append(part)
    try:
        answer: dict[str, Any] = json.loads(b"".join(parts))
        if not answer.keys() >= _absent("").keys():
            raise ValueError("keys are missing")
    except (ValueError, AttributeError) as error:
        raise OSError("the agent's answer is not understood: is it of another version?") from error
    return answer


def _receive(sock: socket.socket, deadline_ns: int) -> bytes:
    """The whole answer has to be there by the deadline, not each piece of it."""
    left_ns = deadline_ns - clock.mono_ns()
    if left_ns <= 0:
        raise TimeoutError
    sock.settimeout(left_ns / clock.SECOND_NS)
    return sock.recv(_CHUNK_BYTES)


def _explained(path: Path, error: OSError) -> str:
    if isinstance(error, TimeoutError | BlockingIOError):
        return (
            f"the agent at {path} does not answer within {TIMEOUT_S:g} s: its shipper is stopped "
            "or hangs; look at the process xm-shipper"
        )
    if isinstance(error, PermissionError):
        return f"not allowed to ask the agent at {path}: run this as its user or in its group"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return f"no agent answers at {path}; start one with: xinmai agent (or xinmai up)"
    return f"cannot ask the agent at {path}: {error}"


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
    _print_captures(answer.get("captures", {}))
    print_table(
        ("spool", "bytes", "records"),
        [(one["stream"], one["bytes"], one["records"]) for one in answer["spool"]],
        right=("bytes", "records"),
    )


def _print_captures(captures: dict[str, Any]) -> None:
    last = captures.get("last")
    if last:
        state = "under way" if last["open"] else f"{last['bytes']} bytes"
        begun = f"{captures['captures']} captures, {captures['suppressed']} triggers without one"
        say(f"{begun}; the last: {last['id']} at {iso(last['at_ns'])}, {state}: {last['cause']}")


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _micros(value: int | None) -> str | None:
    return None if value is None else f"{value / 1000:.0f}"
