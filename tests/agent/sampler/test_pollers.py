from __future__ import annotations

import errno
import logging
import struct
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from xinmai import clock
from xinmai.api import INT64_MAX, INT64_MIN, Kind, Missing, Poll, Reading, Reason, Series
from xinmai.sampler.plan import PollLane
from xinmai.sampler.pollers import Poller, encode_cell, missing_by_errno
from xinmai.sampler.serial import Busy, Turns
from xinmai_native import LANE_COLUMNS, Gate, Ring, RingReader, Rows

MS = 1_000_000
SECOND = 1000 * MS
START = 10_300 * MS


def series(**more: Any) -> Series:
    return Series("one", "hw.power", "W", Kind.GAUGE, {}, **more)


class Clock:
    """CLOCK_MONOTONIC as the test wants it."""

    def __init__(self) -> None:
        self.now_ns = START

    def mono_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(clock, "mono_ns", fake.mono_ns)
    return fake


class Rig:
    """A poller over a ring of its own."""

    def __init__(self, *polls: Poll, period_ns: int = SECOND) -> None:
        lane = PollLane("poll:slow", "slow", period_ns, list(polls))
        self.ring = Ring([(LANE_COLUMNS, len(lane.series), 0, 64, period_ns)])
        self.reader = RingReader(self.ring.fd)
        self.turns = Turns("serial")
        self.poller = Poller(lane, self.ring, 0, logging.getLogger("test"), self.turns)

    def rows(self) -> Rows:
        return self.reader.rows(0, 0, 100)

    def newest(self) -> list[Reading]:
        rows = self.rows()
        missing = {
            c: Missing(Reason(r), code) for c, row, r, code in rows.reasons if row == rows.n - 1
        }
        cells = array("q", rows.values)[rows.n - 1 :: rows.n]
        return [missing.get(column, cell) for column, cell in enumerate(cells)]


Make = Callable[..., Rig]


@pytest.fixture
def make(time: Clock) -> Iterator[Make]:
    made: list[Rig] = []

    def rig(*reads: Callable[[], Sequence[Reading]], width: int = 1, **more: Any) -> Rig:
        polls = [
            Poll(f"call {number}", [series()] * width, read) for number, read in enumerate(reads)
        ]
        made.append(Rig(*polls, **more))
        return made[-1]

    yield rig
    for one in made:
        one.reader.close()
        one.ring.close()


def failing(error: Exception) -> Callable[[], Sequence[Reading]]:
    def read() -> Sequence[Reading]:
        raise error

    return read


def test_first_row_comes_at_once_and_then_the_grid(make: Make, time: Clock) -> None:
    rig = make(lambda: [1])
    assert rig.poller.due_ns == START
    rig.poller.run(time.now_ns)
    assert rig.poller.due_ns == 11 * SECOND
    time.now_ns = 11 * SECOND + 3 * MS
    rig.poller.run(time.now_ns)
    assert rig.poller.due_ns == 12 * SECOND
    rows = rig.rows()
    assert list(array("q", rows.scheduled_ns)) == [START, 11 * SECOND]
    assert list(array("q", rows.begin_ns)) == [START, 11 * SECOND + 3 * MS]


@pytest.mark.statement("RING-10")
@pytest.mark.fault("G1")
def test_missed_ticks_are_counted_and_not_made_up(make: Make, time: Clock) -> None:
    rig = make(lambda: [1])
    rig.poller.run(time.now_ns)
    time.now_ns = 14 * SECOND + 500 * MS
    rig.poller.run(time.now_ns)
    assert rig.poller.due_ns == 15 * SECOND
    rows = rig.rows()
    assert list(array("q", rows.scheduled_ns)) == [START, 14 * SECOND]
    assert list(array("I", rows.missed)) == [0, 3]
    assert rig.reader.state(0).missed == 3


def test_row_that_takes_longer_than_its_period_misses_the_next(make: Make, time: Clock) -> None:
    def slow() -> Sequence[Reading]:
        time.now_ns += 2500 * MS
        return [1]

    rig = make(slow)
    rig.poller.run(time.now_ns)
    assert rig.poller.due_ns == 11 * SECOND
    rig.poller.run(time.now_ns)
    rows = rig.rows()
    assert list(array("I", rows.duration_ns)) == [2500 * MS] * 2
    assert list(array("I", rows.missed)) == [0, 1]
    assert rig.reader.state(0).busy_ns == 5000 * MS


@pytest.mark.fault("A1")
def test_header_says_which_call_runs_since_when(make: Make, time: Clock) -> None:
    seen: list[tuple[int, int]] = []

    def read() -> Sequence[Reading]:
        state = rig.reader.state(0)
        seen.append((state.call, state.since_ns))
        time.now_ns += 100 * MS
        return [1]

    rig = make(read, read)
    rig.poller.run(time.now_ns)
    assert seen == [(0, START), (1, START + 100 * MS)]
    assert rig.reader.state(0).call == -1


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Turns], None]]:
    """Lets another thread be inside the library until the end of the test."""
    monkeypatch.setattr("xinmai.sampler.serial.PATIENCE_NS", 10 * MS)
    inside, end = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def hold(gate: Gate) -> None:
        assert gate.enter(10 * SECOND)
        inside.set()
        end.wait()
        gate.leave()

    def hang(turns: Turns) -> None:
        assert turns.gate is not None
        threads.append(threading.Thread(target=hold, args=(turns.gate,), name="hung"))
        threads[0].start()
        assert inside.wait(10)

    yield hang
    end.set()
    for thread in threads:
        thread.join()


@pytest.mark.fault("A12")
@pytest.mark.statement("CTL-13")
def test_poll_that_gets_no_turn_reads_timeout_and_is_not_blamed(
    make: Make, time: Clock, hung: Callable[[Turns], None], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    rig = make(lambda: [seen.append(1) or 7])  # type: ignore[func-returns-value]
    hung(rig.turns)
    rig.turns.begin()
    with caplog.at_level(logging.WARNING):
        rig.poller.run(time.now_ns)
        rig.poller.run(time.now_ns)
    assert rig.newest() == [Missing(Reason.TIMEOUT)]
    assert seen == []
    assert rig.reader.state(0).call == -1
    [said] = caplog.messages
    assert said.startswith("reading lost: call=call 0 error=")
    assert "waited for another call, which is still in the library" in said


def test_free_plugin_waits_for_nobody(hung: Callable[[Turns], None]) -> None:
    assert Turns("free").gate is None
    with Turns("free").turn():
        pass
    serial = Turns("serial")
    hung(serial)
    with pytest.raises(Busy), serial.turn():
        pass


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        (errno.ENOENT, Missing(Reason.DEVICE_LOST)),
        (errno.ENODEV, Missing(Reason.DEVICE_LOST)),
        (errno.ENXIO, Missing(Reason.DEVICE_LOST)),
        (errno.EACCES, Missing(Reason.NO_PERMISSION)),
        (errno.EPERM, Missing(Reason.NO_PERMISSION)),
        (errno.EINVAL, Missing(Reason.UNSUPPORTED)),
        (errno.EOPNOTSUPP, Missing(Reason.UNSUPPORTED)),
        (errno.ENODATA, Missing(Reason.UNSUPPORTED)),
        (errno.ENOTTY, Missing(Reason.UNSUPPORTED)),
        (errno.EAGAIN, Missing(Reason.NOT_YET)),
        (errno.ETIMEDOUT, Missing(Reason.TIMEOUT)),
        (errno.EIO, Missing(Reason.VENDOR_ERROR, errno.EIO)),
        (None, Missing(Reason.VENDOR_ERROR, 0)),
    ],
)
def test_errno_becomes_the_reason_that_a_lane_gives(
    make: Make, time: Clock, code: int | None, reads: Missing
) -> None:
    assert missing_by_errno(code) == reads
    rig = make(failing(OSError(code, "no") if code else OSError("no number")), width=2)
    rig.poller.run(time.now_ns)
    assert rig.newest() == [reads, reads]


@pytest.mark.parametrize(
    "read",
    [
        failing(RuntimeError("broken")),
        failing(UnicodeDecodeError("ascii", b"", 0, 1, "no")),
        lambda: [1, 2],
        list,
        lambda: [None],
        lambda: ["12"],
        lambda: 12,
        lambda: (one for one in [1]),
    ],
)
@pytest.mark.fault("A11")
def test_poll_that_breaks_its_contract_ends_nothing(
    make: Make, time: Clock, read: Callable[[], Any]
) -> None:
    rig = make(read, lambda: [7])
    rig.poller.run(time.now_ns)
    assert rig.newest() == [Missing(Reason.VENDOR_ERROR), 7]


@pytest.mark.fault("A23")
def test_loss_is_logged_once_and_once_its_return(
    make: Make, time: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    works = [True, False, False, False, True, True, False]

    def read() -> Sequence[Reading]:
        if not works.pop(0):
            raise RuntimeError("broken")
        return [1]

    # The same name twice: calls are told apart all the same.
    polls = [Poll("call", [series()], read), Poll("call", [series()], lambda: [1])]
    rig = Rig(*polls)
    caplog.set_level(logging.INFO)
    while works:
        rig.poller.run(time.now_ns)
    assert [record.getMessage() for record in caplog.records] == [
        "reading lost: call=call error=RuntimeError('broken')",
        "reading is back: call=call",
        "reading lost: call=call error=RuntimeError('broken')",
    ]
    rig.reader.close()
    rig.ring.close()


UNSUPPORTED, IMPLAUSIBLE = (0, int(Reason.UNSUPPORTED)), (0, int(Reason.IMPLAUSIBLE))


@pytest.mark.fault("A17")
@pytest.mark.parametrize(
    ("more", "reading", "cell"),
    [
        ({}, 5, (5, 0)),
        ({}, -5, (-5, 0)),
        ({}, True, (1, 0)),
        ({}, 3.9, (3, 0)),
        ({}, float("nan"), IMPLAUSIBLE),
        ({}, float("inf"), IMPLAUSIBLE),
        ({}, INT64_MAX, (INT64_MAX, 0)),
        ({}, INT64_MIN, (INT64_MIN, 0)),
        ({}, 2**63, IMPLAUSIBLE),
        ({}, INT64_MIN - 1, IMPLAUSIBLE),
        ({}, 10**400, IMPLAUSIBLE),
        ({"low": 0, "high": 10}, 0, (0, 0)),
        ({"low": 0, "high": 10}, 10, (10, 0)),
        ({"low": 0, "high": 10}, -1, IMPLAUSIBLE),
        ({"low": 0, "high": 10}, 11, IMPLAUSIBLE),
        ({"sentinels": (255, -1)}, 255, UNSUPPORTED),
        ({"sentinels": (255, -1)}, -1, UNSUPPORTED),
        ({"sentinels": (255,), "high": 100}, 255, UNSUPPORTED),
        ({"type": "u64"}, 2**63, (INT64_MIN, 0)),
        ({"type": "u64"}, 2**64 - 1, (-1, 0)),
        ({"type": "u64"}, 2**64, IMPLAUSIBLE),
        ({"type": "u64", "sentinels": (2**64 - 1,)}, 2**64 - 1, UNSUPPORTED),
        ({"type": "u64", "sentinels": (-1,)}, 2**64 - 1, UNSUPPORTED),
        ({"type": "u64", "low": 0, "high": 10}, 2**64 - 1, IMPLAUSIBLE),
        ({"type": "f64"}, float("nan"), IMPLAUSIBLE),
        ({"type": "f64"}, float("-inf"), IMPLAUSIBLE),
        ({"type": "f64"}, 10**400, IMPLAUSIBLE),
        ({"type": "f64", "sentinels": (-1,)}, -1.0, UNSUPPORTED),
        ({"type": "f64", "low": 0, "high": 1}, 3.5, IMPLAUSIBLE),
        ({"type": "f64", "low": 0, "high": 1}, -1.5, IMPLAUSIBLE),
        ({}, Missing(Reason.ASLEEP), (0, int(Reason.ASLEEP))),
        ({}, Missing(Reason.TIMEOUT, 9), (0, int(Reason.TIMEOUT))),
        ({}, Missing(Reason.VENDOR_ERROR, 999), (999, int(Reason.VENDOR_ERROR))),
        ({}, Missing(Reason.VENDOR_ERROR, 2**64 - 3), (-3, int(Reason.VENDOR_ERROR))),
    ],
)
def test_cell_of_a_reading(more: dict[str, Any], reading: Any, cell: tuple[int, int]) -> None:
    assert encode_cell(series(**more), reading) == cell


@pytest.mark.parametrize("value", [0.0, -0.5, 1.5, 1e300, 7])
def test_double_is_kept_by_its_bits(value: float) -> None:
    cell, reason = encode_cell(series(type="f64"), value)
    assert reason == 0
    assert struct.unpack("<d", struct.pack("<q", cell))[0] == value


def test_double_between_rounded_bounds_is_plausible() -> None:
    """A range of 0 to 0.9 native is written as 0 to 0."""
    assert encode_cell(series(type="f64", low=0, high=0), 0.9)[1] == 0
