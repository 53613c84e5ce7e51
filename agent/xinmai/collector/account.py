"""The account: readings taken, stored, missed and lost, minute by minute (WIRE-46)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from xinmai.errors import Refused
from xinmai.wire.messages import Batch

RING_OVERRUN: Final = "ring_overrun"
UNDECODABLE: Final = "undecodable"
"""Readings of a batch that is durable here but whose blocks do not hold what they say."""

MAX_READINGS: Final = 2**40
"""Per minute of one message: sums stay far inside 64 bits, whatever a sender claims."""

ACCOUNT_SCHEMA: Final = pa.schema(
    [
        pa.field("edge", pa.string(), nullable=False),
        pa.field("node", pa.string(), nullable=False),
        pa.field("minute", pa.int64(), nullable=False),
        pa.field("taken", pa.int64(), nullable=False),
        pa.field("stored", pa.int64(), nullable=False),
        pa.field("missed", pa.int64(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("lost", pa.int64(), nullable=False),
    ]
)
"""Increments: a row per minute with `reason` null, and one per reason with `lost` alone."""


@dataclass(slots=True)
class Tally:
    """Readings of one minute."""

    taken: int = 0
    stored: int = 0
    missed: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.taken += other.taken
        self.stored += other.stored
        self.missed += other.missed
        self.lost.update(other.lost)


Minutes = dict[int, Tally]


def check_numbers(batch: Batch) -> None:
    """Refuse numbers that only a broken or hostile sender writes.

    Raises:
        Refused: more than MAX_READINGS in a minute.
    """
    for entry in batch.account:
        if max(entry.taken, entry.missed) > MAX_READINGS:
            raise Refused("limit", "account", f"more than {MAX_READINGS} readings in a minute")
    for loss in batch.losses:
        if any(n > MAX_READINGS for _, n in loss.readings):
            raise Refused("limit", "losses", f"more than {MAX_READINGS} readings in a minute")


def tally(
    batch: Batch,
    readings: Mapping[int, int] | None,
    losses: Iterable[tuple[str, int, int]] = (),
) -> Minutes:
    """What one durable batch adds.

    Args:
        readings: decoded readings by minute; None where the blocks could not be decoded.
        losses: (reason, minute, readings) that this batch declares and nobody stored.
    """
    minutes: Minutes = {}
    for entry in batch.account:
        line = minutes.setdefault(entry.minute, Tally())
        line.taken += entry.taken
        line.missed += entry.missed
        if entry.ring_overrun:
            line.lost[RING_OVERRUN] += entry.ring_overrun
        if readings is None:
            line.lost[UNDECODABLE] += entry.taken - entry.ring_overrun
    for minute, n in (readings or {}).items():
        minutes.setdefault(minute, Tally()).stored += n
    for reason, minute, n in losses:
        line = minutes.setdefault(minute, Tally())
        line.taken += n
        line.lost[reason] += n
    return minutes


def agrees(batch: Batch, readings: Mapping[int, int]) -> bool:
    """Whether a batch's blocks hold what its account says (WIRE-47)."""
    said = {entry.minute: entry.taken - entry.ring_overrun for entry in batch.account}
    return {m: n for m, n in said.items() if n} == {m: n for m, n in readings.items() if n}


class AccountBook:
    """Tallies of many nodes."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], Minutes] = {}
        self._rows = 0

    def __len__(self) -> int:
        """Minutes held."""
        return self._rows

    def add(self, edge: str, node: str, minutes: Minutes) -> None:
        """Add what a batch brought."""
        mine = self._nodes.setdefault((edge, node), {})
        before = len(mine)
        for minute, line in minutes.items():
            mine.setdefault(minute, Tally()).add(line)
        self._rows += len(mine) - before

    def since(self, edge: str, node: str, minute: int) -> Tally:
        """Sum of a node's minutes from one on."""
        total = Tally()
        for at, line in self._nodes.get((edge, node), {}).items():
            if at >= minute:
                total.add(line)
        return total

    def keep(self, first: int, last: int) -> None:
        """Forget minutes outside a range."""
        for minutes in self._nodes.values():
            for minute in [m for m in minutes if not first <= m <= last]:
                del minutes[minute]
        self._rows = sum(map(len, self._nodes.values()))

    def load(self, rows: Iterable[Mapping[str, int | str | None]]) -> None:
        """Add rows of ACCOUNT_SCHEMA."""
        for row in rows:
            line = Tally(int(row["taken"] or 0), int(row["stored"] or 0), int(row["missed"] or 0))
            if row["reason"] is not None:
                line.lost[str(row["reason"])] = int(row["lost"] or 0)
            self.add(str(row["edge"]), str(row["node"]), {int(row["minute"] or 0): line})

    def table(self) -> pa.Table:
        """Everything as rows of ACCOUNT_SCHEMA."""
        rows = list(self._lines())
        columns: Sequence[Sequence[object]] = (
            list(zip(*rows, strict=True)) if rows else [()] * len(ACCOUNT_SCHEMA)
        )
        arrays = [
            pa.array(column, kind)
            for column, kind in zip(columns, ACCOUNT_SCHEMA.types, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=ACCOUNT_SCHEMA)

    def _lines(self) -> Iterator[tuple[str, str, int, int, int, int, str | None, int]]:
        for (edge, node), minutes in self._nodes.items():
            for minute, line in minutes.items():
                yield edge, node, minute, line.taken, line.stored, line.missed, None, 0
                for reason, n in line.lost.items():
                    if n:
                        yield edge, node, minute, 0, 0, 0, reason, n
