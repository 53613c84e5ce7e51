"""Disks that are full or fail, budgets, and the losses that follow from them."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from agent.shipper.conftest import MakeRig
from agent.shipper.rig import MIB, Host, LaneSpec, Rig, totals
from xinmai.clock import SECOND_NS
from xinmai.config import ShipperConfig
from xinmai.spool.spool import Spool
from xinmai.wire.codec import decode_batch
from xinmai.wire.messages import Loss, Stream

START_NS = 600 * SECOND_NS
SECOND = LaneSpec("second", SECOND_NS, 2, slots=256)


def at(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


class FullDisk:
    """Appends to these streams fail."""

    def __init__(self, patch: pytest.MonkeyPatch, *streams: Stream) -> None:
        self.streams = set(streams)
        self._append = Spool.append
        patch.setattr(Spool, "append", lambda spool, *args, **more: self.append(spool, args, more))

    def append(self, spool: Spool, args: Any, more: Any) -> object:
        if spool.state().stream in self.streams:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._append(spool, *args, **more)


@pytest.mark.fault("E6")
def test_what_a_full_disk_does_not_take_stays_in_the_rings(
    raw_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, alive = Host("acme", (SECOND,)), Host("acme", (SECOND,), generation=2)
    raw_rig.add(dead, alive)
    disk = FullDisk(monkeypatch, "raw", "rollup", "event")
    dead.rows(at(0), 3)
    dead.event("before")
    raw_rig.rings.mark_gone(dead.id)
    alive.rows(at(5), 3, value=5)
    for second in range(4):
        with pytest.raises(OSError, match="No space"):
            raw_rig.run(at(8 + second))
    assert raw_rig.drained == []
    disk.streams.clear()
    raw_rig.run(at(12))
    assert raw_rig.values() == [0, 1, 2, 5, 6, 7]
    assert raw_rig.codes() == ["before"]
    assert raw_rig.drained == [dead.id]
    # Ticks 3 and 4 between the two, of two series, although they were asked for many times.
    assert totals(raw_rig.batches("raw")) == (12, 4, 0)


@pytest.mark.fault("E6")
def test_one_stream_that_is_full_does_not_stop_the_others(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(ShipperConfig(raw=("acme/*",)))
    host, other = Host("acme", (SECOND,)), Host("beta", (SECOND,))
    rig.add(host, other)
    host.row(at(0), 7)
    host.event()
    other.row(at(0), 9)
    disk = FullDisk(monkeypatch, "rollup")
    with pytest.raises(OSError, match="No space"):
        rig.run(at(1))
    assert (rig.values("raw"), rig.values("rollup"), rig.codes()) == ([7], [], ["xid"])
    disk.streams.clear()
    rig.run(at(2))
    assert (rig.values("raw"), rig.values("rollup"), rig.codes()) == ([7], [9], ["xid"])


@pytest.mark.fault("E6")
def test_losses_that_cannot_be_written_are_not_forgotten(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host("acme", (SECOND,))
    rig.add(host)
    host.row(at(0))
    rig.run(at(1))
    ((queue, seq, _),) = rig.spools["rollup"].unstored()
    rig.spools["rollup"].discard(queue, seq, seq, "refused")
    disk = FullDisk(monkeypatch, "event")
    for second in (2, 3):
        with pytest.raises(OSError, match="No space"):
            rig.run(at(second))
    disk.streams.clear()
    rig.run(at(4))
    rig.run(at(5))
    minute = rig.clock.anchor().minute(at(0))
    assert rig.losses() == [Loss("rollup", queue, seq, seq, "refused", ((minute, 2),))]


@pytest.mark.fault("E7")
@pytest.mark.statement("WIRE-45")
def test_what_the_budget_drops_is_declared_with_its_readings(make_rig: MakeRig) -> None:
    rig = make_rig(ShipperConfig(raw=("*",)), budget_bytes=MIB)
    host = Host("acme", (LaneSpec("second", SECOND_NS, 20, slots=64),))
    rig.add(host)
    for second in range(1000):
        host.row(at(second), second * 7919 % 1_000_003)
        rig.run(at(second + 1))
    kept = totals(rig.batches("raw"))[0]
    lost = sum(n for loss in rig.losses() for _, n in loss.readings)
    assert {(loss.stream, loss.reason) for loss in rig.losses()} == {("raw", "spool_budget")}
    assert kept + lost == 1000 * 20
    assert lost > 0


def test_a_loss_is_shipped_once_and_forgotten_when_it_is_durable(rig: Rig) -> None:
    host = Host("acme", (SECOND,))
    rig.add(host)
    host.row(at(0))
    rig.run(at(1))
    ((queue, seq, _),) = rig.spools["rollup"].unstored()
    rig.spools["rollup"].discard(queue, seq, seq, "refused")
    rig.run(at(2))
    rig.spools.sync()
    rig.store("event")
    following = rig.again(host)
    following.run(at(3))
    assert following.payloads("event") == []
    assert following.spools.take_losses() == []


def test_a_loss_that_was_not_durable_is_declared_again_after_a_kill(rig: Rig) -> None:
    host = Host("acme", (SECOND,))
    rig.add(host)
    host.row(at(0))
    rig.run(at(1))
    ((queue, seq, _),) = rig.spools["rollup"].unstored()
    rig.spools["rollup"].discard(queue, seq, seq, "refused")
    rig.drain._spools.take_losses()
    following = rig.killed(host)
    following.run(at(3))
    assert [(loss.queue, loss.first) for loss in following.losses()] == [(queue, seq)]


def test_more_losses_than_a_body_holds_are_spread(rig: Rig) -> None:
    host = Host("acme", (SECOND,))
    rig.add(host)
    readings = [(minute, 1) for minute in range(400)]
    spool = rig.spools["rollup"]
    spool.put_inventory("0" * 16, b"x")
    for _ in range(600):
        queue, seq = spool.append(b"x", schema="0" * 16, readings=readings)
        spool.discard(queue, seq, seq, "refused")
    rig.run(at(1))
    batches = rig.batches("event")
    assert sum(len(batch.losses) for batch in batches) == 600
    assert len(batches) >= 3


def test_a_single_loss_over_a_limit_is_declared_without_its_readings(rig: Rig) -> None:
    """It closes the range all the same: nobody waits for it for ever."""
    rig.add(Host("acme", (SECOND,)))
    spool = rig.spools["rollup"]
    spool.put_inventory("0" * 16, b"x")
    queue, seq = spool.append(
        b"x", schema="0" * 16, readings=[(minute, 1) for minute in range(70_000)]
    )
    spool.discard(queue, seq, seq, "refused")
    rig.run(at(1))
    assert rig.losses() == [Loss("rollup", queue, seq, seq, "refused", ())]


@pytest.mark.statement("WIRE-40")
def test_identities_on_disk_and_in_the_body_are_the_same(raw_rig: Rig) -> None:
    host = Host("acme", (SECOND,))
    raw_rig.add(host)
    for second in range(5):
        host.row(at(second))
        host.event()
        raw_rig.run(at(second + 1))
    for stream in ("raw", "event"):
        spool = raw_rig.spools[stream]
        for number, (queue, seq, _) in enumerate(list(spool.unstored()), 1):
            record = spool.read(queue, seq)
            assert record is not None
            batch = decode_batch(record.payload)
            assert (batch.stream, batch.queue, batch.seq) == (stream, queue, seq)
            assert (batch.seq, batch.schema) == (number, record.key)
