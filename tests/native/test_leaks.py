"""Every public name of the extension in a loop: neither memory nor descriptors may grow."""

from __future__ import annotations

import gc
import resource
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import xinmai_native
from native.rig import HIGH, MILLISECOND_NS, TIMEOUT_NS, field, make_ring
from xinmai_native import (
    LANE_COLUMNS,
    LANE_RECORDS,
    TRACK_COUNTER,
    Gate,
    Lane,
    Ring,
    RingReader,
    _core,
    call_reference_loop,
    call_targets,
    clock,
    crc32c,
    histogram_bounds,
    pack,
    reference_loop,
    unpack,
)
from xinmai_native.calls import Buffer, Call, Load, Result, Returns, Value

ROUNDS = 400
WIDE = 100
SLACK_BYTES = 100_000

ring = Ring([(LANE_COLUMNS, WIDE, 0, 64, 0), (LANE_RECORDS, 0, 64, 64, 0)])
reader = RingReader(ring.fd)
cells = array("q", range(WIDE)).tobytes()
no_cells = bytes([7] * WIDE)
kinds = bytes(WIDE)
packed = pack(cells, array("I", [WIDE]))
for _ in range(64):
    ring.commit(0, 5, 5, 0, 0, cells, no_cells)
    ring.append(1, 5, bytes(40))
idle_ring = Ring([(LANE_COLUMNS, 1, 0, 4, 0)])
gate = Gate()
idle = Lane(idle_ring, 0, MILLISECOND_NS, [])


def make_lane() -> None:
    own, _ = make_ring(columns=2, slots=4)
    fields = [field(0, b"key", 1, 2, [1, 2, 3]), field(1)]
    Lane(own, 0, MILLISECOND_NS, [(b"/proc/uptime", fields)])
    with pytest.raises(ValueError, match="two fields"):
        Lane(own, 0, MILLISECOND_NS, [(b"/proc/uptime", [*fields, field(1)])])


def run_lane() -> None:
    own, own_reader = make_ring(columns=1, slots=4)
    lane = Lane(own, 0, MILLISECOND_NS, [(b"/proc/uptime", [field(0)])])
    lane.start()
    assert lane.stop(TIMEOUT_NS)
    own_reader.close()


def make_calls() -> None:
    own, _ = make_ring(columns=2, slots=4)
    load = Load(0, 0, "I")
    whole = Result(0, [(0, load), (1, load)], 2, 4, load, 0, load, load, (load, 1), [1, 2])
    call = Call(1, [Value(1), Buffer(0)], [bytes(64)], Returns("i", (0,), [(1, 1)]), [whole])
    Lane(own, 0, MILLISECOND_NS, [call], gate=Gate())
    with pytest.raises(ValueError, match="empty range"):
        Lane(own, 0, MILLISECOND_NS, [call._replace(results=[whole._replace(low=1, high=0)])])
    with pytest.raises(TypeError, match="a load is a tuple"):
        Lane(own, 0, MILLISECOND_NS, [call._replace(results=[whole._replace(loads=[(0, 5)])])])  # type: ignore[list-item]


def pass_gate() -> None:
    assert gate.enter(0)
    gate.leave()


def refuse_leave() -> None:
    with pytest.raises(RuntimeError, match="not inside"):
        Gate().leave()


def refuse_reader() -> None:
    RingReader(ring.fd)
    with pytest.raises(OSError, match="Bad file"):
        RingReader(-1)


def refuse_unpack() -> None:
    unpack(packed, array("I", [WIDE]))
    with pytest.raises(ValueError, match="codec"):
        unpack(packed[:-1], array("I", [WIDE]))


def close_both() -> None:
    own, own_reader = make_ring()
    own.close()
    own_reader.close()


def track_once() -> None:
    tracked = Ring([(LANE_COLUMNS, 1, 0, 4, 0)])
    tracked.track(0, [(TRACK_COUNTER, 32, 0)])
    with suppress(ValueError):
        tracked.track(0, [(TRACK_COUNTER, 32, 0)])
    tracked.close()


LOOPS: dict[str, Callable[[], object]] = {
    "clock": clock,
    "crc32c": lambda: crc32c(cells),
    "histogram_bounds": histogram_bounds,
    "pack": lambda: pack(cells, array("I", [WIDE])),
    "unpack": refuse_unpack,
    "call_reference_loop": lambda: call_reference_loop(True, 1, 10_000, 1),
    "call_targets": call_targets,
    "reference_loop": lambda: reference_loop([b"/proc/uptime"], 10_000, 1),
    "Ring": make_ring,
    "Ring.append": lambda: ring.append(1, 5, bytes(40)),
    "Ring.close": close_both,
    "Ring.commit": lambda: ring.commit(0, 5, 5, 0, 0, cells, no_cells),
    "Ring.enter": lambda: ring.enter(0, 5, 5),
    "Ring.refresh_ns": lambda: ring.refresh_ns(0),
    "Ring.resets": lambda: ring.resets(0),
    "Ring.track": track_once,
    "Ring.fd": lambda: ring.fd,
    "Ring.id": lambda: ring.id,
    "Gate": refuse_leave,
    "Gate.enter": pass_gate,
    "Gate.leave": pass_gate,
    "Lane": make_lane,
    "Lane.__init__": make_calls,
    "Lane.cpu_ns": idle.cpu_ns,
    "Lane.histograms": idle.histograms,
    "Lane.set_period": lambda: idle.set_period(MILLISECOND_NS),
    "Lane.start": run_lane,
    "Lane.stop": run_lane,
    "Lane.trampled": idle.trampled,
    "RingReader": refuse_reader,
    "RingReader.close": close_both,
    "RingReader.id": lambda: reader.id,
    "RingReader.lanes": lambda: reader.lanes,
    "RingReader.pid": lambda: reader.pid,
    "RingReader.records": lambda: reader.records(1, reader.state(1).committed - 64, 64),
    "RingReader.rows": lambda: reader.rows(0, reader.state(0).committed - 64, 64),
    "RingReader.state": lambda: reader.state(0),
    "RingReader.windows": lambda: reader.windows(
        0, reader.state(0).committed - 64, 10, HIGH, 64, kinds
    ),
}


def public_names() -> set[str]:
    names = set()
    for name, value in vars(_core).items():
        if name.startswith("_") or not callable(value):
            continue
        if isinstance(value, type) and issubclass(value, (tuple, Exception)):
            continue
        names.add(name)
        if isinstance(value, type):
            names |= {f"{name}.{member}" for member in vars(value) if not member.startswith("_")}
    return names


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_each_public_name_has_a_loop() -> None:
    assert public_names() == {name for name in LOOPS if "__" not in name}


def test_face_exports_each_public_name() -> None:
    public = {name for name in vars(_core) if not name.startswith("_")}
    assert set(xinmai_native.__all__) == public
    assert all(getattr(xinmai_native, name) is getattr(_core, name) for name in public)


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_loop_leaves_nothing_behind(name: str) -> None:
    loop = LOOPS[name]
    growth = 0
    # A first round fills caches; a later one may meet another thread's arena once.
    for _ in range(4):
        gc.collect()
        before, open_before = resident_bytes(), descriptors()
        for _ in range(ROUNDS):
            loop()
        gc.collect()
        assert descriptors() == open_before
        growth = resident_bytes() - before
        if growth < SLACK_BYTES:
            return
    assert growth < SLACK_BYTES
