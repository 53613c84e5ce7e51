"""The shipper ends between any two steps: no reading twice, none missing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from agent.shipper.conftest import MakeRig
from agent.shipper.rig import Host, LaneSpec, Rig, totals
from xinmai.clock import SECOND_NS
from xinmai.config import ShipperConfig
from xinmai.shipper.pending import Pending
from xinmai.spool.spool import Spool
from xinmai.wire.messages import STREAMS

START_NS = 600 * SECOND_NS
LANES = (LaneSpec("fast", slots=4096), LaneSpec("second", SECOND_NS, 1, slots=256))
RAW = ShipperConfig(raw=("*/fast",), batch_bytes=2000)


class KilledError(Exception):
    """The process ends here."""


def at(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


def fast(rig: Rig) -> list[int]:
    return [one.last for one in rig.readings("raw") if one.column == 0]


def slow(rig: Rig) -> list[int]:
    return [one.last for one in rig.readings() if one.lane == "second"]


def fill(host: Host, seconds: int, begin: int = 0) -> None:
    host.rows(at(begin), 10 * seconds, value=10 * begin)
    host.rows(at(begin), seconds, lane=1, value=begin)
    for second in range(seconds):
        host.event(f"e{begin + second}")


def test_killed_between_append_and_settle_nothing_comes_twice(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, host = make_rig(RAW), Host(lanes=LANES)
    rig.add(host)
    fill(host, 30)

    def die(_: Pending) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Pending, "settle", die)
        with pytest.raises(KilledError):
            rig.run(at(30))
    following = rig.killed(host)
    following.run(at(31))
    assert fast(following) == list(range(300))
    assert slow(following) == list(range(30))
    assert following.codes() == [f"e{number}" for number in range(30)]


def test_killed_before_an_append_nothing_is_missing(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each append in turn; spool records are the only thing that is left."""
    rig, host = make_rig(RAW), Host(lanes=LANES)
    rig.add(host)
    fill(host, 20)
    append = Spool.append
    for step in range(40):
        left = [step % 4]

        def dying(*args: Any, left: list[int] = left, **kwargs: Any) -> object:
            if not left[0]:
                raise KilledError
            left[0] -= 1
            return append(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(Spool, "append", dying)
            try:
                rig.run(at(21))
            except KilledError:
                rig = rig.again(host)
    rig.run(at(22))
    assert fast(rig) == list(range(200))
    assert slow(rig) == list(range(20))
    assert rig.codes() == [f"e{number}" for number in range(20)]
    assert totals([*rig.batches(), *rig.batches("raw")]) == (420, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_random_while_hosts_come_and_go(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    source = random.Random(seed)
    rig, hosts = make_rig(RAW), [Host(lanes=LANES)]
    rig.add(hosts[0])

    def unsure(work: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **kwargs: object) -> object:
            if source.random() < 0.15:
                raise KilledError
            return work(*args, **kwargs)

        return step

    gone: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "append", unsure(Spool.append))
        patch.setattr(Pending, "settle", unsure(Pending.settle))
        for second in range(40):
            fill(hosts[-1], 1, second)
            if source.random() < 0.2:
                gone.append(hosts[-1].id)
                hosts.append(Host(lanes=LANES, generation=len(hosts) + 1))
                rig.add(hosts[-1])
            for ring_id in gone:
                rig.rings.mark_gone(ring_id)
            try:
                rig.run(at(second + 1))
            except KilledError:
                rig = rig.killed(*hosts)
    for ring_id in gone:
        rig.rings.mark_gone(ring_id)
    rig.run(at(50))
    assert fast(rig) == list(range(400))
    assert slow(rig) == list(range(40))
    assert sorted(rig.codes(), key=lambda code: int(code[1:])) == [f"e{n}" for n in range(40)]


def test_rollups_after_a_kill_are_other_windows_of_the_same_readings(rig: Rig) -> None:
    host = Host(lanes=(LaneSpec(slots=4096),))
    rig.add(host)
    host.rows(at(0), 25)
    rig.run(at(2.5))
    following = rig.killed(host)
    host.rows(at(2.5), 25, value=25)
    following.run(at(6))
    found = [one for one in following.readings() if one.column == 0]
    assert sum(one.count for one in found) == 50
    assert sum(one.sum for one in found) == sum(range(50))
    assert len({one.time_ns for one in found}) == len(found)


@pytest.mark.fault("E5")
def test_a_restart_with_everything_stored_sends_nothing(make_rig: MakeRig) -> None:
    rig, host = make_rig(RAW), Host(lanes=LANES)
    rig.add(host)
    fill(host, 10)
    rig.run(at(11))
    for stream in STREAMS:
        rig.store(stream)
    following = rig.again(host)
    following.run(at(12))
    assert [following.payloads(stream) for stream in STREAMS] == [[], [], [], []]
    host.row(at(12), 120)
    following.run(at(13))
    assert fast(following) == [120]


def test_a_record_without_readable_positions_is_no_obstacle(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    for meta in (b"\xc1", b"\x93\x01\x02\x03", b"\x81\xa1r\x07", b"\x81\xa1r\x81\xa1x\x01"):
        rig.spools["rollup"].append(b"x", schema="", meta=meta)
    host = Host()
    following = rig.again(host)
    assert "without readable positions" in caplog.text
    host.rows(at(0), 10)
    following.run(at(3))
    assert following.rings.positions()[host.id][0] == 10
