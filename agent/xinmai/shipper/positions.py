"""How far the rings were read: kept with each spool record, found again after a restart."""

from __future__ import annotations

import logging

import msgpack

from xinmai.shipper.rings import Positions
from xinmai.spool.spools import SpoolSet

NEWEST = 8
"""Records looked at per stream: each carries the position of every ring held then."""

log = logging.getLogger("xinmai.shipper")


def pack_positions(positions: Positions) -> bytes:
    """Meta of a spool record."""
    packed: bytes = msgpack.packb(positions)
    return packed


def known_positions(spools: SpoolSet) -> Positions:
    """The furthest position of each ring and lane, by the newest surviving records."""
    out: Positions = {}
    for spool in spools:
        for _, meta in zip(range(NEWEST), spool.last_meta(), strict=False):
            _merge(out, meta)
    return out


def _merge(out: Positions, meta: bytes) -> None:
    try:
        read = msgpack.unpackb(meta, strict_map_key=False)
        for ring_id, lanes in read.items():
            mine = out.setdefault(str(ring_id), {})
            for lane, position in lanes.items():
                mine[int(lane)] = max(mine.get(int(lane), 0), int(position))
    except (ValueError, TypeError, AttributeError, msgpack.exceptions.UnpackException) as error:
        log.warning("spool record without readable positions: %s", error)
