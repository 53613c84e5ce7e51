from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from agent.spool.helpers import HEADER, SCHEMA
from agent.spool.make_golden import GOLDEN, LOST, write
from xinmai.spool.segment import segment_name
from xinmai.spool.spool import Spool


def test_version_1_is_still_written(tmp_path: Path) -> None:
    write(tmp_path / "v1.seg")
    assert (tmp_path / "v1.seg").read_bytes() == GOLDEN.read_bytes()


def test_spool_of_version_1_still_opens_and_goes_on(tmp_path: Path) -> None:
    shutil.copy(GOLDEN, tmp_path / segment_name(HEADER))
    spool = Spool(tmp_path, "rollup", budget_bytes=2**20)
    assert spool.owner == HEADER.owner
    assert spool.next_identity() == (HEADER.queue, 3)
    assert spool.inventory(SCHEMA) == b"inventory body"
    assert [(seq, size) for _, seq, size in spool.unstored()] == [(1, 12), (2, 12)]
    record = spool.read(HEADER.queue, 2)
    assert record is not None
    assert (record.payload, record.meta) == (b"batch body 2", b"meta2")
    assert list(spool.last_meta()) == [b"meta2", b"meta1", b"meta before"]
    assert spool.take_losses() == [replace(LOST)]
    spool.close()
