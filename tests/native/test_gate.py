"""The gate, and calls that hang: who waits is not to blame, and who hangs is named."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from native.callrig import PERIOD_NS, VALUE, Functions, newest, returned, running
from native.rig import (
    MILLISECOND_NS,
    TIMEOUT_NS,
    field,
    make_ring,
    probe,
    until,
    wait_rows,
)
from xinmai_native import LANE_COLUMNS, Gate, Lane, Ring, RingReader, clock
from xinmai_native.calls import Call, Returns, Value


def counted(functions: Functions, calls: ctypes.c_uint64) -> Call:
    address = Value(ctypes.addressof(calls))
    return Call(functions.address("count"), [address], [], Returns(), [returned("i")])


@contextmanager
def inside(gate: Gate) -> Iterator[None]:
    assert gate.enter(TIMEOUT_NS)
    try:
        yield
    finally:
        gate.leave()


def test_one_thread_is_inside() -> None:
    gate = Gate()
    entered: list[bool] = []
    with inside(gate):
        thread = threading.Thread(target=lambda: entered.append(gate.enter(MILLISECOND_NS)))
        thread.start()
        thread.join()
    assert entered == [False]
    assert gate.enter(0)
    gate.leave()


def test_waiting_thread_is_let_in() -> None:
    gate = Gate()
    order: list[str] = []

    def wait() -> None:
        with inside(gate):
            order.append("waited")

    thread = threading.Thread(target=wait)
    with inside(gate):
        thread.start()
        order.append("held")
    thread.join()
    assert order == ["held", "waited"]


def test_leave_without_enter_is_an_error() -> None:
    gate = Gate()
    with pytest.raises(RuntimeError, match="not inside"):
        gate.leave()
    failed: list[str] = []

    def leave() -> None:
        try:
            gate.leave()
        except RuntimeError as error:
            failed.append(str(error))

    with inside(gate):
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="inside the gate already"):
            gate.enter(TIMEOUT_NS)
    assert len(failed) == 1
    with pytest.raises(RuntimeError, match="not inside"):
        gate.leave()


def test_gate_is_no_other_thing() -> None:
    ring, _ = make_ring(columns=1)
    with pytest.raises(TypeError, match="Gate or None"):
        Lane(ring, 0, MILLISECOND_NS, [], gate=5)  # type: ignore[arg-type]


@pytest.mark.fault("A1")
def test_waiting_lane_names_no_call(functions: Functions) -> None:
    gate, calls = Gate(), ctypes.c_uint64()
    with running([counted(functions, calls)], 1, gate=gate) as (reader, _lane):
        assert newest(reader, 1) == [(VALUE, 0)]
        with inside(gate):
            before = calls.value
            missed_before = reader.state(0).missed
            # The lane is inside its row, and out of it again only with the gate.
            until(lambda: clock()[0] - reader.state(0).begin_ns > 50 * MILLISECOND_NS)
            state = reader.state(0)
            assert (state.call, state.since_ns) == (-1, 0)
            assert calls.value == before
        newest(reader, 1)
        assert calls.value > before
        assert reader.state(0).missed > missed_before


def test_gate_is_around_calls_only() -> None:
    gate = Gate()
    with (
        inside(gate),
        running([probe("/proc/uptime", field(0))], 1, gate=gate) as (reader, _lane),
    ):
        assert newest(reader, 1)[0][0] == VALUE


def test_waiting_lane_stops(functions: Functions) -> None:
    gate, calls = Gate(), ctypes.c_uint64()
    ring, reader = make_ring(columns=1)
    lane = Lane(ring, 0, PERIOD_NS, [counted(functions, calls)], gate=gate)
    with inside(gate):
        lane.start()
        until(lambda: lane.cpu_ns() > 0)
        assert lane.stop(TIMEOUT_NS)
    state = reader.state(0)
    assert (calls.value, state.committed, state.call, state.since_ns) == (0, 0, -1, 0)
    lane.start()
    wait_rows(reader, 2)
    assert lane.stop(TIMEOUT_NS)


def test_python_loop_does_not_starve_a_lane(functions: Functions) -> None:
    gate, calls = Gate(), ctypes.c_uint64()
    slow = functions.library["slow"]
    done = threading.Event()

    def hold_on() -> None:
        while not done.is_set():
            gate.enter(TIMEOUT_NS)
            slow(ctypes.c_uint64(2 * MILLISECOND_NS))
            gate.leave()

    with running([counted(functions, calls)], 1, MILLISECOND_NS, gate) as (reader, _lane):
        thread = threading.Thread(target=hold_on)
        thread.start()
        try:
            before = reader.state(0).committed
            wait_rows(reader, before + 20)
        finally:
            done.set()
            thread.join()


def test_lanes_and_python_exclude_each_other(functions: Functions) -> None:
    gate, inside_now, worst = Gate(), ctypes.c_int(), ctypes.c_int()
    shared = [ctypes.addressof(inside_now), ctypes.addressof(worst), 20_000]
    call = Call(
        functions.address("alone"),
        [Value(value) for value in shared],
        [],
        Returns(),
        [returned("i")],
    )
    ring = Ring([(LANE_COLUMNS, 1, 0, 256, 0) for _ in range(3)])
    reader = RingReader(ring.fd)
    lanes = [Lane(ring, index, PERIOD_NS, [call], gate=gate) for index in range(3)]
    for lane in lanes:
        lane.start()
    alone = functions.library["alone"]
    for _ in range(200):
        with inside(gate):
            alone(*[ctypes.c_void_p(value) for value in shared])
    for index in range(3):
        wait_rows(reader, 10, index)
    assert all(lane.stop(TIMEOUT_NS) for lane in lanes)
    assert worst.value == 1


@pytest.mark.fault("A1")
def test_hanging_call_is_named_and_the_other_lane_goes_on(functions: Functions) -> None:
    flag, entered, calls = ctypes.c_int(1), ctypes.c_int(), ctypes.c_uint64()
    hang = Call(
        functions.address("wait_while"),
        [Value(ctypes.addressof(flag)), Value(ctypes.addressof(entered))],
        [],
        Returns(),
        [returned("i", 1)],
    )
    ring = Ring([(LANE_COLUMNS, 2, 0, 256, 0), (LANE_COLUMNS, 1, 0, 256, 0)])
    reader = RingReader(ring.fd)
    before_ns = clock()[0]
    lanes = [
        Lane(ring, 0, PERIOD_NS, [probe("/proc/uptime", field(0)), hang]),
        Lane(ring, 1, PERIOD_NS, [counted(functions, calls)]),
    ]
    for lane in lanes:
        lane.start()
    until(lambda: entered.value == 1)
    state = reader.state(0)
    assert (state.call, state.committed) == (1, 0)
    assert before_ns < state.since_ns <= clock()[0]
    assert lanes[0].stop(20 * MILLISECOND_NS) is False
    wait_rows(reader, reader.state(1).committed + 5, 1)
    flag.value = 0
    assert all(lane.stop(TIMEOUT_NS) for lane in lanes)


@pytest.mark.fault("A1")
def test_lane_stuck_in_a_call_keeps_what_it_uses(functions: Functions) -> None:
    script = """
        import ctypes, gc, sys
        from native.rig import LOW, HIGH, MILLISECOND_NS, make_ring, until
        from xinmai_native import Gate, Lane
        from xinmai_native.calls import Buffer, Call, Returns, Value

        library = ctypes.CDLL(sys.argv[1])
        address = ctypes.cast(library.wait_while, ctypes.c_void_p).value
        flag, entered, gate = ctypes.c_int(1), ctypes.c_int(), Gate()
        arguments = [Value(ctypes.addressof(flag)), Value(ctypes.addressof(entered)), Buffer(0)]
        ring, reader = make_ring(columns=1)
        call = Call(address, arguments, [bytes(1 << 20)], Returns(), [])
        lane = Lane(ring, 0, MILLISECOND_NS, [call], gate=gate)
        lane.start()
        until(lambda: entered.value == 1)
        del lane, ring, gate, call
        gc.collect()
        assert reader.state(0).call == 0
        flag.value = 0
        until(lambda: entered.value == 0 and reader.state(0).call == -1)
        print("left")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(functions.path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "left\n", done.stderr
