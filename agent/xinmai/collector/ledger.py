"""Which batches of each node are here: dedupe, gaps, losses, and what `stored` may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from xinmai.wire.limits import MAX_QUEUES, MAX_RANGES
from xinmai.wire.messages import STREAMS, Batch, Loss, Ranges, Status, Stream
from xinmai.wire.ranges import RangeSet

KEPT_QUEUES: Final = 64
"""Queues remembered per stream; a node makes a new one only after damage to its spool."""
KEPT_RANGES: Final = 1024
"""Ranges of one queue beyond which a batch that would open another is refused for now."""
KEPT_READINGS: Final = 4096
"""Batches per queue whose readings are remembered, to settle a loss declared over them."""

Readings = tuple[tuple[int, int], ...]
"""(minute, readings taken), as a loss of the batch would declare them."""


class Queue:
    """One queue of a stream: what is closed, by storing or by loss."""

    __slots__ = ("closed", "readings")

    def __init__(self, ranges: Ranges = ()) -> None:
        self.closed = RangeSet(ranges)
        self.readings: dict[int, Readings] = {}

    def store(self, seq: int, readings: Readings) -> None:
        """A batch is durable."""
        self.closed.add(seq, seq)
        self.readings[seq] = readings
        if len(self.readings) > KEPT_READINGS:
            del self.readings[next(iter(self.readings))]

    def opens_range(self, seq: int) -> bool:
        """Whether closing this seq would start a range of its own."""
        return not any(near in self.closed for near in (seq - 1, seq, seq + 1))

    def lose(self, loss: Loss) -> list[tuple[int, int]]:
        """Close a declared loss; returns (minute, readings) of it that are not here after all.

        A node drops what it sent while no `stored` reached it; some of that may be durable here,
        and must not count twice.
        """
        width = loss.last - loss.first + 1
        missing = self.closed.add(loss.first, loss.last)
        if missing == width:
            return list(loss.readings)
        if not missing:
            return []
        left = dict(loss.readings)
        unknown = width - missing
        for seq, readings in self.readings.items():
            if loss.first <= seq <= loss.last:
                unknown -= 1
                for minute, n in readings:
                    left[minute] = left.get(minute, 0) - n
        # Batches stored before the last restart are known by number only: the rest is shared out.
        share = missing + max(unknown, 0)
        return [(minute, n * missing // share) for minute, n in left.items() if n > 0]


@dataclass(slots=True)
class NodeLedger:
    """One node's queues, least recently used first, and its presence."""

    edge: str
    node: str
    streams: dict[Stream, dict[str, Queue]] = field(default_factory=dict)
    status: Status | None = None

    def queue(self, stream: Stream, queue: str) -> Queue | None:
        """A queue, if anything of it was ever closed."""
        return self.streams.get(stream, {}).get(queue)

    def touch(self, stream: Stream, queue: str) -> Queue:
        """A queue, made when new, now the most recently used of its stream."""
        queues = self.streams.setdefault(stream, {})
        found = queues.pop(queue, None) or Queue()
        queues[queue] = found
        if len(queues) > KEPT_QUEUES:
            del queues[next(iter(queues))]
        return found

    def holds(self, stream: Stream, queue: str, seq: int) -> bool:
        """Whether a batch is stored or declared lost."""
        found = self.queue(stream, queue)
        return found is not None and seq in found.closed

    def too_scattered(self, stream: Stream, queue: str, seq: int) -> bool:
        """Whether a batch would open one range too many: it comes again when gaps have closed."""
        found = self.queue(stream, queue)
        return (
            found is not None and len(found.closed.ranges) >= KEPT_RANGES and found.opens_range(seq)
        )

    def store(self, batch: Batch) -> list[tuple[str, int, int]]:
        """Book a durable batch; returns the losses it declares as (reason, minute, readings)."""
        readings = tuple((entry.minute, entry.taken) for entry in batch.account)
        self.touch(batch.stream, batch.queue).store(batch.seq, readings)
        losses: list[tuple[str, int, int]] = []
        for loss in batch.losses:
            left = self.touch(loss.stream, loss.queue).lose(loss)
            losses.extend((loss.reason, minute, n) for minute, n in left)
        return losses

    def stored(self) -> dict[Stream, dict[str, Ranges]]:
        """The body of `stored`, WIRE-50: the most recently used queues, lowest ranges first.

        The lowest, because a node frees its spool from the oldest record on.
        """
        return {
            stream: {
                queue: list(found.closed.ranges)[:MAX_RANGES]
                for queue, found in list(self.streams[stream].items())[-MAX_QUEUES:]
            }
            for stream in STREAMS
            if self.streams.get(stream)
        }

    def gaps(self) -> int:
        """Batches below the newest of their queue that are neither stored nor declared lost."""
        return sum(
            (found.closed.highest or 0) - found.closed.total
            for queues in self.streams.values()
            for found in queues.values()
        )

    def see(self, status: Status) -> bool:
        """Take a status; False when it is a late will of an older session (WIRE-21)."""
        now = self.status
        if now is not None:
            older = status.boot == now.boot and status.session < now.session
            foreign_will = not status.online and status.boot != now.boot
            if older or foreign_will:
                return False
        self.status = status
        return True


class Ledger:
    """All nodes of the edges that this collector owns."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], NodeLedger] = {}

    def __iter__(self) -> Iterator[NodeLedger]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def find(self, edge: str, node: str) -> NodeLedger | None:
        """A known node."""
        return self._nodes.get((edge, node))

    def node(self, edge: str, node: str) -> NodeLedger:
        """A node, made when new."""
        found = self._nodes.get((edge, node))
        if found is None:
            found = self._nodes[edge, node] = NodeLedger(edge, node)
        return found

    def to_map(self) -> dict[str, Any]:
        """What a sealed set keeps: every closed range, queues in order of use."""
        return {
            "v": 1,
            "nodes": [
                {
                    "edge": node.edge,
                    "node": node.node,
                    "streams": {
                        stream: {
                            queue: list(found.closed.ranges) for queue, found in queues.items()
                        }
                        for stream, queues in node.streams.items()
                    },
                }
                for node in self
            ],
        }

    @classmethod
    def from_map(cls, data: Mapping[str, Any]) -> Ledger:
        """The inverse.

        Raises:
            ValueError, KeyError, TypeError: it is no ledger.
        """
        if data["v"] != 1:
            raise ValueError(f"ledger version {data['v']}")
        ledger = cls()
        for entry in data["nodes"]:
            node = ledger.node(entry["edge"], entry["node"])
            for stream, queues in entry["streams"].items():
                node.streams[stream] = {queue: Queue(ranges) for queue, ranges in queues.items()}
        return ledger
