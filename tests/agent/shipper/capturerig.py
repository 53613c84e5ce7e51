"""What captures in a rig's spool hold."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from agent.shipper.rig import Host, Rig
from xinmai.clock import SECOND_NS
from xinmai.wire.messages import Batch, Capture
from xinmai_native import RingReader, unpack

START_NS = 600 * SECOND_NS
Row = tuple[str, str, int, tuple[int, ...]]
"""Plugin, lane, scheduled time, one value per column."""


def at(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


def parts(rig: Rig) -> list[Capture]:
    found = [batch.capture for batch in rig.batches("capture")]
    return [one for one in found if one is not None]


def by_id(rig: Rig) -> dict[str, list[Capture]]:
    out: dict[str, list[Capture]] = {}
    for one in parts(rig):
        out.setdefault(one.id, []).append(one)
    return out


def captured(rig: Rig) -> list[Row]:
    """Every row of every capture, in the order of the batches."""
    return [row for batch in rig.batches("capture") for row in rows_of(rig, batch)]


def rows_of(rig: Rig, batch: Batch) -> Iterator[Row]:
    inventory = rig.inventory(batch)
    for block in batch.blocks:
        lane = inventory.lanes[block.lane]
        assert not block.reasons
        times = array("q", unpack(block.time, array("I", [block.n])))
        cells = array("q", unpack(block.last, array("I", [block.n] * lane.count)))
        for row in range(block.n):
            values = tuple(cells[column * block.n + row] for column in range(lane.count))
            yield lane.plugin, lane.name, times[row], values


def in_ring(hosts: Sequence[Host], from_ns: int, until_ns: int) -> list[Row]:
    """What the hosts' rings hold of the same."""
    out: list[Row] = []
    for host in hosts:
        reader = RingReader(host.ring.fd)
        for number, lane in enumerate(host.lanes):
            rows = reader.rows(number, 0, 2**20)
            times, cells = array("q", rows.scheduled_ns), array("q", rows.values)
            for row in range(rows.n):
                if from_ns <= times[row] < until_ns:
                    values = tuple(cells[column * rows.n + row] for column in range(lane.columns))
                    out.append((host.layout.plugin, lane.name, times[row], values))
    return out
