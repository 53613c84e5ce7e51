"""Rings that no shipper has read to their end: their memory lives as long as they are held."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

HELD_RINGS = 8

log = logging.getLogger("xinmai.sampler")


@dataclass(slots=True)
class HeldRing:
    """One generation of one host; `fd` is -1 once it is let go.

    Args:
        body: the layout as the host sent it.
    """

    plugin: str
    ring_id: str
    body: Mapping[str, object]
    fd: int
    gone: bool = False

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class HeldRings:
    """By ring id, oldest first; at most HELD_RINGS of one plugin (CTL-20)."""

    def __init__(self) -> None:
        self._rings: dict[str, HeldRing] = {}
        self._losing: set[str] = set()

    def __iter__(self) -> Iterator[HeldRing]:
        return iter(list(self._rings.values()))

    def __len__(self) -> int:
        return len(self._rings)

    def add(self, ring: HeldRing) -> HeldRing:
        """Take a ring and its descriptor over."""
        self._rings[ring.ring_id] = ring
        mine = [one for one in self if one.plugin == ring.plugin]
        for oldest in mine[:-HELD_RINGS]:
            self._lose(oldest)
        return ring

    def _lose(self, ring: HeldRing) -> None:
        if ring.plugin not in self._losing:
            log.warning("no shipper drains: plugin=%s, the oldest rings are dropped", ring.plugin)
        self._losing.add(ring.plugin)
        self._drop(ring)

    def mark_gone(self, ring_id: str) -> HeldRing | None:
        """The ring will not grow any more; it, if that is news."""
        ring = self._rings.get(ring_id)
        if ring is None or ring.gone:
            return None
        ring.gone = True
        return ring

    def drained(self, ring_id: str) -> bool:
        """A shipper has everything up to the end of a gone ring."""
        ring = self._rings.get(ring_id)
        if ring is None or not ring.gone:
            return False
        self._losing.discard(ring.plugin)
        self._drop(ring)
        return True

    def _drop(self, ring: HeldRing) -> None:
        del self._rings[ring.ring_id]
        ring.close()

    def close(self) -> None:
        """Let go of all."""
        for ring in self:
            self._drop(ring)
