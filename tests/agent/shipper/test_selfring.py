"""The shipper's own series are of the catalogue and say what is so."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.shipper.rig import Clock
from xinmai.api import Reason
from xinmai.catalog import lookup, refusal
from xinmai.clock import SECOND_NS
from xinmai.shipper import selfring
from xinmai.shipper.opencapture import RecorderState
from xinmai.shipper.selfring import SelfRing
from xinmai.shipper.sendstate import SendState
from xinmai.spool.spools import SpoolSet
from xinmai_native import RingReader


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[SpoolSet]:
    one = SpoolSet(tmp_path, floor_bytes=0)
    yield one
    one.close()


def row(own: SelfRing) -> dict[tuple[str, str], int]:
    """Values of the newest row by metric and stream."""
    reader = RingReader(own.ring.fd)
    rows = reader.rows(0, reader.state(0).committed - 1, 1)
    assert rows.reasons == []
    names = [(s.metric, s.attributes.get("xinmai.stream", "")) for s in own.layout.series]
    return dict(zip(names, array("q", rows.values), strict=True))


def test_every_series_is_of_the_catalogue() -> None:
    own = SelfRing(SECOND_NS)
    for series in own.layout.series:
        entry = lookup(series.metric)
        assert (series.unit, series.kind) == (entry.unit, entry.kind)
        assert refusal(entry, series.attributes) == ""
    own.close()
    own.close()


def test_a_row_says_what_the_sender_and_the_spools_say(spools: SpoolSet) -> None:
    own = SelfRing(SECOND_NS)
    spools["raw"].append(b"x" * 100, schema="")
    state = SendState(
        connected=True, connects=3, messages=5, bytes=7, refused=11, unstored_bytes=13
    )
    own.commit(state, spools, RecorderState())
    found = row(own)
    assert found["xinmai.publish.connected", ""] == 1
    assert found["xinmai.publish.connects", ""] == 3
    assert found["xinmai.publish.messages", ""] == 5
    assert found["xinmai.publish.bytes", ""] == 7
    assert found["xinmai.publish.refused", ""] == 11
    assert found["xinmai.publish.unstored", ""] == 13
    assert found["xinmai.spool.records", "raw"] == 1
    assert found["xinmai.spool.records", "event"] == 0
    assert found["xinmai.spool.bytes", "raw"] > 100
    assert found["xinmai.process.memory.rss", ""] > 2**20
    assert found["xinmai.process.cpu.time", ""] > 0
    own.close()


def test_ticks_that_the_loop_slept_through_are_missed(spools: SpoolSet, clock: Clock) -> None:
    own = SelfRing(SECOND_NS)
    for seconds in (1, 1, 5, 1):
        own.commit(SendState(), spools, RecorderState())
        clock.advance(seconds)
    own.commit(SendState(), spools, RecorderState())
    assert RingReader(own.ring.fd).state(0).missed == 4
    own.close()


@pytest.mark.parametrize("content", [None, b"", b"no number"])
def test_without_proc_the_memory_has_a_reason(
    spools: SpoolSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "statm"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(selfring, "STATM", os.fspath(path))
    own = SelfRing(SECOND_NS)
    own.commit(SendState(), spools, RecorderState())
    (reason,) = RingReader(own.ring.fd).rows(0, 0, 1).reasons
    assert reason == (1, 0, Reason.UNSUPPORTED, 0)
    own.close()
