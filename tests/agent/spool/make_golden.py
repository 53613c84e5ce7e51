"""Writes golden/v1.seg anew, which must not happen after a release.

`PYTHONPATH=tests python -m agent.spool.make_golden`
"""

from __future__ import annotations

from pathlib import Path

from agent.spool.helpers import HEADER, SCHEMA
from xinmai.spool import facts
from xinmai.spool.layout import BATCH, CARRY, CLOSED, INVENTORY, LOSS
from xinmai.spool.segment import SegmentWriter
from xinmai.wire.messages import Loss

GOLDEN = Path(__file__).with_name("golden") / "v1.seg"
LOST = Loss("raw", "c" * 16, 3, 9, "spool_budget", ((29_000_000, 70), (29_000_001, 7)))


def write(path: Path) -> None:
    writer = SegmentWriter(path, HEADER)
    writer.append(CARRY, 0, "", b"meta before", b"")
    writer.append(INVENTORY, 0, SCHEMA, b"", b"inventory body")
    for seq in (1, 2):
        local = facts.pack_facts([(29_000_000, seq)], [LOST] if seq == 2 else [], b"meta%d" % seq)
        writer.append(BATCH, seq, SCHEMA, local, b"batch body %d" % seq)
    writer.append(LOSS, 0, "", b"", facts.pack_losses([LOST]))
    writer.seal(3, CLOSED)
    writer.close()


if __name__ == "__main__":
    GOLDEN.unlink(missing_ok=True)
    write(GOLDEN)
