"""Topic names, WIRE-1 and WIRE-2."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "xinmai/1"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one node."""

    edge: str
    node: str

    @property
    def base(self) -> str:
        """`xinmai/1/<edge>/<node>`."""
        return f"{PREFIX}/{self.edge}/{self.node}"

    @property
    def status(self) -> str:
        """Retained presence."""
        return f"{self.base}/status"

    @property
    def batch(self) -> str:
        """Streams rollup and raw."""
        return f"{self.base}/batch"

    @property
    def event(self) -> str:
        """Stream event."""
        return f"{self.base}/event"

    @property
    def stored(self) -> str:
        """What the collector holds."""
        return f"{self.base}/stored"

    def inventory(self, schema: str) -> str:
        """Retained inventory of a schema."""
        return f"{self.base}/inventory/{schema}"


def collector_topic(edge: str) -> str:
    """Who collects an edge."""
    return f"{PREFIX}/{edge}/_collector"


@dataclass(frozen=True, slots=True)
class ParsedTopic:
    """A topic taken apart; `schema` only for an inventory."""

    edge: str
    node: str
    leaf: str
    schema: str = ""


def is_name(text: str) -> bool:
    """Whether a text may be an edge or a node (WIRE-2)."""
    raise NotImplementedError


def parse_topic(topic: str) -> ParsedTopic:
    """Take a topic apart.

    Raises:
        Refused: it is none of ours.
    """
    raise NotImplementedError
