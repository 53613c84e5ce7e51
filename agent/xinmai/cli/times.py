"""Times as people and programs read them."""

from __future__ import annotations

from datetime import UTC, datetime

_SECOND_NS = 1_000_000_000


def iso(wall_ns: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    moment = datetime.fromtimestamp(wall_ns // _SECOND_NS, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ns % _SECOND_NS // 1000:06d}Z"
