"""The session number: grows with each connection of the node, over restarts (WIRE-20)."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from xinmai import clock

_MOST = 2**53

log = logging.getLogger("xinmai.shipper")


def next_session(state_dir: Path) -> int:
    """Count one up, durably. A lost file goes on from the wall clock's seconds: never backwards."""
    path = state_dir / "session"
    try:
        number = int(path.read_text("ascii")) + 1
        if not 0 < number <= _MOST:
            raise ValueError(f"session {number}")
    except (OSError, ValueError):
        number = clock.wall_ns() // clock.SECOND_NS
    temporary = path.with_suffix(".new")
    try:
        temporary.write_text(str(number), "ascii")
        os.replace(temporary, path)  # noqa: PTH105 - atomic by name
    except OSError as error:
        log.warning("session number not kept: path=%s error=%s", path, error)
    return number
