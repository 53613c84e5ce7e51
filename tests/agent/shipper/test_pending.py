from __future__ import annotations

from array import array

from xinmai import clock
from xinmai.shipper.pending import Pending
from xinmai.wire.blocks import raw_block
from xinmai_native import LANE_COLUMNS, Ring, RingReader


def test_a_batch_of_what_never_changes_is_full_by_cells_not_by_bytes() -> None:
    ring = Ring([(LANE_COLUMNS, 4, 0, 64, 1)])
    for at in range(50):
        ring.commit(0, at, at, 0, 0, array("q", [7] * 4), bytes(4))
    reader = RingReader(ring.fd)
    rows = reader.rows(0, 0, 50)
    batch = Pending("raw", clock.anchor())
    batch.add(raw_block(0, rows, 4), 4, rows.scheduled_ns, rows.missed)
    assert (batch.cells, batch.size_bytes < 200) == (200, True)
    assert batch.is_full(10**6, 200)
    assert not batch.is_full(10**6, 201)
    reader.close()
    ring.close()
