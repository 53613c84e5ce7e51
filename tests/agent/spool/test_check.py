from __future__ import annotations

from pathlib import Path

import pytest

from agent.spool.helpers import SCHEMA, fill, opened, segments
from xinmai.errors import SpoolError
from xinmai.spool.check import check
from xinmai.spool.spools import SpoolSet


def test_healthy_spool_is_described(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        queue, _ = fill(spool, 40, size=200)[0]
        spool.discard(queue, 40, 40, "refused")
    facts = check(tmp_path)
    assert [item.path for item in facts] == [path.name for path in segments(tmp_path)]
    assert sum(item.records for item in facts) == 40
    assert sum(item.losses for item in facts) == 1
    assert all(item.inventories == 1 and not item.missing and not item.damages for item in facts)
    assert [item.closed for item in facts] == [False] * (len(facts) - 1) + [True]
    assert all(item.bytes == item.good_bytes for item in facts)
    assert (facts[0].stream, facts[0].queue, facts[0].first) == ("rollup", queue, 1)
    assert facts[-1].last == 40


def test_damage_is_described_and_nothing_is_changed(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        fill(spool, 5)
    [path] = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    (tmp_path / "strange.seg").write_bytes(b"strange")
    strange, found = sorted(check(tmp_path), key=lambda item: item.records)
    assert (found.records, found.missing, len(found.damages)) == (4, 1, 1)
    assert found.good_bytes < found.bytes
    assert "neither" in strange.problem
    assert path.read_bytes() == data


def test_set_is_described_while_it_is_used(tmp_path: Path) -> None:
    spools = SpoolSet(tmp_path)
    spools["raw"].put_inventory(SCHEMA, b"inventory")
    fill(spools["raw"], 3)
    [found] = check(tmp_path)
    assert found.path.startswith("raw/")
    assert (found.records, found.first, found.last) == (3, 1, 3)
    spools.close()


def test_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="no directory"):
        check(tmp_path / "nowhere")
