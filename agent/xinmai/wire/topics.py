"""Topic names, WIRE-1 and WIRE-2."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xinmai.wire.limits import refused

PREFIX = "xinmai/1"
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""An edge or a node, WIRE-2."""
HEX16_PATTERN = "[0-9a-f]{16}"
"""A schema or a queue."""
LEAVES = ("status", "inventory", "batch", "event", "capture", "cmd", "reply", "stored")
COLLECTOR_LEAF = "_collector"

_is_name = re.compile(NAME_PATTERN).fullmatch
_is_hex16 = re.compile(HEX16_PATTERN).fullmatch


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

    def of(self, stream: str) -> str:
        """Where batches of a stream go."""
        return f"{self.base}/{stream}" if stream in ("event", "capture") else self.batch

    @property
    def capture(self) -> str:
        """Stream capture."""
        return f"{self.base}/capture"

    @property
    def cmd(self) -> str:
        """What the collector asks of the node."""
        return f"{self.base}/cmd"

    @property
    def reply(self) -> str:
        """What became of it."""
        return f"{self.base}/reply"

    @property
    def stored(self) -> str:
        """What the collector holds."""
        return f"{self.base}/stored"

    def inventory(self, schema: str) -> str:
        """Retained inventory of a schema."""
        return f"{self.base}/inventory/{schema}"


def collector_topic(edge: str) -> str:
    """Who collects an edge."""
    return f"{PREFIX}/{edge}/{COLLECTOR_LEAF}"


@dataclass(frozen=True, slots=True)
class ParsedTopic:
    """A topic taken apart; `schema` only for an inventory, `node` "" for `_collector`."""

    edge: str
    node: str
    leaf: str
    schema: str = ""

    def check_origin(self, *, edge: str, node: str) -> None:
        """Hold what a body says of its origin against the topic it came under (WIRE-3).

        Raises:
            Refused: they differ.
        """
        if edge != self.edge:
            raise refused("origin", "edge", "not the topic's")
        if node != self.node:
            raise refused("origin", "node", "not the topic's")


def is_name(text: str) -> bool:
    """Whether a text may be an edge or a node (WIRE-2)."""
    return _is_name(text) is not None


def parse_topic(topic: str) -> ParsedTopic:
    """Take a topic apart.

    Raises:
        Refused: it is none of ours.
    """
    levels = topic.split("/", 6)
    if levels[:2] != PREFIX.split("/"):
        raise refused("topic", detail=f"not under {PREFIX}")
    match levels[2:]:
        case [edge, "_collector"] if is_name(edge):
            return ParsedTopic(edge, "", COLLECTOR_LEAF)
        case [edge, node, "inventory", schema] if (
            is_name(edge) and is_name(node) and _is_hex16(schema)
        ):
            return ParsedTopic(edge, node, "inventory", schema)
        case [edge, node, leaf] if (
            is_name(edge) and is_name(node) and leaf in LEAVES and leaf != "inventory"
        ):
            return ParsedTopic(edge, node, leaf)
    raise refused("topic", detail="no topic of WIRE-1")
