"""What the connections to the broker share with the rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any


class Outbox:
    """Nodes of one edge whose `stored` has changed; published together."""

    def __init__(self) -> None:
        self._nodes: set[str] = set()
        self._changed = asyncio.Event()

    def put(self, node: str) -> None:
        """A node's `stored` has to go out."""
        self._nodes.add(node)
        self._changed.set()

    async def take(self) -> set[str]:
        """Every changed node; waits for the first."""
        await self._changed.wait()
        self._changed.clear()
        nodes, self._nodes = self._nodes, set()
        return nodes


@dataclass
class BrokerState:
    """How the connections to the broker stand, by edge."""

    url: str
    protocols: dict[str, str] = field(default_factory=dict)
    dropped: int = 0

    def to_json(self, edges: int) -> dict[str, Any]:
        """For `/api/health`; connected means every edge's connection."""
        protocols = sorted(set(self.protocols.values()))
        return {
            "connected": len(self.protocols) == edges,
            "url": self.url,
            "protocol": protocols[0] if protocols else None,
        }
