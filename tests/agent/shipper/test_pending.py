"""A batch is bounded by its cells as well: what never changes packs into next to nothing."""

from __future__ import annotations

import pytest

from agent.shipper.conftest import MakeRig
from agent.shipper.rig import Host, LaneSpec
from xinmai.clock import SECOND_NS
from xinmai.config import ShipperConfig
from xinmai.shipper import drain

COLUMNS, ROWS = 4, 50


@pytest.mark.statement("WIRE-11")
def test_batches_of_constant_rows_are_cut_by_cells(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "RAW_CELLS_PER_BLOCK", 10 * COLUMNS)
    monkeypatch.setattr(drain, "CELLS_PER_BATCH", 20 * COLUMNS)
    host = Host(lanes=(LaneSpec(columns=COLUMNS),))
    rig = make_rig(ShipperConfig(raw=("*",)))
    rig.add(host)
    for at in range(ROWS):
        host.row(600 * SECOND_NS + at, 7)
    rig.run(601 * SECOND_NS)
    rows = [sum(block.n for block in batch.blocks) for batch in rig.batches("raw")]
    assert rows == [20, 20, 10]
