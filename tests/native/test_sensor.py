"""What a lane tells of its sensors: repeats, refresh periods, wraps and resets of counters."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from native.rig import (
    HIGH,
    MILLISECOND_NS,
    SECOND_NS,
    TIMEOUT_NS,
    commit,
    field,
    int64s,
    make_ring,
    probe,
    uint32s,
    wait_rows,
)
from xinmai_native import (
    LANE_RECORDS,
    TRACK_COUNTER,
    TRACK_GAUGE,
    TRACK_NONE,
    Lane,
    Ring,
    RingReader,
    Rows,
)

START_NS = 1000 * SECOND_NS
IMPLAUSIBLE, TIMEOUT = 8, 4

Sensor = Callable[[int], int]
"""Value at a time."""


class Tracked:
    """A lane of one tracked column."""

    def __init__(
        self,
        kind: int = TRACK_GAUGE,
        bits: int = 64,
        refresh_ns: int = 0,
        row_ns: int = MILLISECOND_NS,
        slots: int = 40_000,
    ) -> None:
        self.ring, self.reader = make_ring(columns=1, slots=slots)
        self.ring.track(0, [(kind, bits, refresh_ns)])
        self._row_ns = row_ns
        self._now_ns = START_NS
        self._jitter = random.Random(1)

    def see(self, value: int, reason: int = 0) -> None:
        late_ns = int(self._jitter.random() * self._row_ns / 20)
        commit(self.ring, self._now_ns, [value], [reason], late_ns=late_ns)
        self._now_ns += self._row_ns

    def watch(self, sensor: Sensor, rows: int) -> list[int]:
        seen = []
        for _ in range(rows):
            seen.append(sensor(self._now_ns))
            self.see(seen[-1])
        return seen

    @property
    def refresh_ns(self) -> int:
        return int64s(self.ring.refresh_ns(0))[0]

    def rows(self) -> Rows:
        return self.reader.rows(0, 0, 10**6)

    def cells(self) -> list[int | None]:
        """What is read of each row, None where it is implausible."""
        rows = self.rows()
        gone = {row for _, row, reason, _ in rows.reasons if reason == IMPLAUSIBLE}
        return [None if row in gone else cell for row, cell in enumerate(int64s(rows.values))]

    def windows(self, width_ns: int = SECOND_NS) -> tuple[list[int], list[int]]:
        """Counts and sums."""
        windows = self.reader.windows(0, 0, width_ns, HIGH, 10**6, bytes(1))
        return uint32s(windows.counts), int64s(windows.sum)


def noisy(period_ns: float, noise: float = 200, wander: float = 0) -> Sensor:
    """A power sensor of 250 W in mW; `wander` is how far a refresh strays, in periods."""

    def begin_ns(beat: int) -> float:
        return (beat + wander * (random.Random(~beat).random() - 0.5)) * period_ns

    def read(now_ns: int) -> int:
        beat = int(now_ns / period_ns) + 1
        while begin_ns(beat) > now_ns:
            beat -= 1
        return round(250_000 + random.Random(beat).gauss(0, noise))

    return read


def distinct(values: Sequence[int]) -> int:
    return 1 + sum(a != b for a, b in zip(values, values[1:], strict=False))


@pytest.mark.statement("RING-11")
@pytest.mark.fault("G3")
@pytest.mark.parametrize("period_ms", [2, 2.5, 3.4, 7.3, 20, 99.6, 100, 100.3, 100.5])
def test_readings_of_a_slow_sensor_are_counted_once(period_ms: float) -> None:
    lane = Tracked()
    lane.watch(noisy(period_ms * MILLISECOND_NS), 10_000)
    assert lane.refresh_ns == pytest.approx(period_ms * MILLISECOND_NS, rel=0.02)
    counts, _ = lane.windows()
    # A value that stays the same by chance is counted half a period late.
    most = 1 + 10 / period_ms
    assert all(abs(count - 1000 / period_ms) <= most for count in counts[2:])


@pytest.mark.statement("RING-11")
def test_jitter_of_a_sensor_neither_hides_nor_shortens_its_period() -> None:
    lane = Tracked()
    lane.watch(noisy(100 * MILLISECOND_NS, wander=0.1), 20_000)
    assert lane.refresh_ns == pytest.approx(100 * MILLISECOND_NS, rel=0.1)
    counts, _ = lane.windows()
    assert all(abs(count - 10) <= 1 for count in counts[2:])


@pytest.mark.statement("RING-11")
def test_each_row_of_a_sensor_that_keeps_up_counts() -> None:
    lane = Tracked()
    seen = lane.watch(noisy(MILLISECOND_NS), 3000)
    assert distinct(seen) > 2900
    assert lane.refresh_ns == 0
    assert lane.windows() == ([1000] * 3, [sum(seen[at : at + 1000]) for at in (0, 1000, 2000)])


@pytest.mark.statement("RING-11")
def test_a_sensor_that_becomes_slow_beside_still_ones_is_learnt_anew() -> None:
    """Neither the quick way of quick columns nor the skipping of still ones may hide it."""
    columns = 16
    ring, reader = make_ring(columns=columns, slots=40_000)
    ring.track(0, [(TRACK_GAUGE, 64, 0)] * columns)
    quick, slow = noisy(MILLISECOND_NS), noisy(100 * MILLISECOND_NS)
    for row in range(13_000):
        now_ns = START_NS + row * MILLISECOND_NS
        value = (quick if row < 3000 else slow)(now_ns)
        commit(ring, now_ns, [7] * 11 + [value] + [7] * 4, [0] * columns, late_ns=0)
    assert int64s(ring.refresh_ns(0))[11] == pytest.approx(100 * MILLISECOND_NS, rel=0.02)
    windows = reader.windows(0, 0, SECOND_NS, HIGH, 10**6, bytes(columns))
    counts = uint32s(windows.counts)[11 * windows.n : 12 * windows.n]
    assert counts[:3] == [1000] * 3
    assert all(9 <= count <= 11 for count in counts[-4:])


@pytest.mark.statement("RING-13")
@pytest.mark.fault("A16")
def test_a_counter_that_outgrows_its_declared_width_keeps_what_wraps_have_added() -> None:
    """Also once it changes on each row, which takes a shorter way."""
    lane = Tracked(TRACK_COUNTER, bits=8)
    lane.see(250)
    lane.see(3)
    for step in range(200):
        lane.see(300 + 2 * step + step % 2)
    cells = [cell for cell in lane.cells() if cell is not None]
    assert all(after >= before for before, after in zip(cells, cells[1:], strict=False))
    assert cells[-1] == 256 + 300 + 2 * 199 + 1


@pytest.mark.statement("RING-11")
def test_quick_but_coarse_values_are_no_repeats() -> None:
    lane = Tracked()
    source = noisy(MILLISECOND_NS, noise=300)
    seen = lane.watch(lambda now_ns: source(now_ns) // 500, 3000)
    assert 1500 < distinct(seen) < 2700
    assert lane.windows()[0] == [1000] * 3


@pytest.mark.statement("RING-11")
def test_nothing_is_claimed_before_eight_changes() -> None:
    lane = Tracked()
    source = noisy(100 * MILLISECOND_NS)
    lane.watch(source, 750)
    assert lane.refresh_ns == 0
    assert lane.rows().distinct == array("I", [750]).tobytes()
    lane.watch(source, 250)
    assert lane.refresh_ns > 0


@pytest.mark.statement("RING-11")
@pytest.mark.parametrize(
    "drifting",
    [
        lambda now_ns: now_ns // (170 * MILLISECOND_NS),
        lambda now_ns: round(40 + 10 * math.sin(now_ns / (2 * SECOND_NS))),
        lambda now_ns: 40 + now_ns // (500 * MILLISECOND_NS) % 2,
    ],
    ids=["ramp", "wave", "square"],
)
def test_a_coarse_value_that_drifts_has_no_period(drifting: Sensor) -> None:
    lane = Tracked()
    lane.watch(drifting, 20_000)
    assert lane.refresh_ns == 0
    assert lane.windows()[0] == [1000] * 20


@pytest.mark.statement("RING-11")
@pytest.mark.parametrize("seed", range(8))
def test_chance_is_no_period(seed: int) -> None:
    rng = random.Random(seed)
    value = 40.0

    def walk(_: int) -> int:
        nonlocal value
        value += rng.gauss(0, 0.05)
        return round(value)

    lane = Tracked()
    lane.watch(walk, 20_000)
    assert lane.refresh_ns == 0


@pytest.mark.statement("RING-11")
@pytest.mark.parametrize("after_ms", [20, 30, 300, 310])
def test_a_sensor_that_changes_its_pace_is_learned_again(after_ms: int) -> None:
    lane = Tracked()
    lane.watch(noisy(100 * MILLISECOND_NS), 3000)
    lane.watch(noisy(after_ms * MILLISECOND_NS), 12_000)
    assert lane.refresh_ns == pytest.approx(after_ms * MILLISECOND_NS, rel=0.02)
    assert lane.windows()[0][-1] == pytest.approx(1000 / after_ms, abs=1)


@pytest.mark.statement("RING-11")
def test_a_sensor_that_begins_to_keep_up_counts_each_row() -> None:
    lane = Tracked()
    lane.watch(noisy(100 * MILLISECOND_NS), 3000)
    lane.watch(noisy(MILLISECOND_NS), 2000)
    assert lane.refresh_ns == 0
    assert lane.windows()[0][-1] == 1000


@pytest.mark.statement("RING-12")
def test_a_constant_value_counts_once_per_declared_refresh() -> None:
    lane = Tracked(refresh_ns=100 * MILLISECOND_NS)
    lane.watch(lambda _: 5, 10_000)
    assert lane.refresh_ns == 0
    assert lane.windows() == ([10] * 10, [50] * 10)


@pytest.mark.statement("RING-12")
def test_a_value_that_stands_still_goes_on_counting_at_the_measured_pace() -> None:
    lane = Tracked()
    lane.watch(noisy(100 * MILLISECOND_NS), 5000)
    lane.watch(lambda _: 250_000, 10_000)
    assert all(abs(count - 10) <= 1 for count in lane.windows()[0][2:])


@pytest.mark.statement("RING-12")
def test_what_is_measured_goes_before_what_is_declared() -> None:
    lane = Tracked(refresh_ns=SECOND_NS)
    lane.watch(noisy(20 * MILLISECOND_NS), 3000)
    lane.watch(lambda _: 5, 3000)
    assert all(abs(count - 50) <= 2 for count in lane.windows()[0][2:])


@pytest.mark.statement("RING-12")
def test_a_window_of_repeats_stands_for_its_value() -> None:
    lane = Tracked(refresh_ns=SECOND_NS)
    lane.watch(lambda _: 7, 1000)
    counts, sums = lane.windows(10 * MILLISECOND_NS)
    assert counts == [1] * 100
    assert sums == [7] * 100


@pytest.mark.statement("RING-12")
def test_a_pause_is_not_made_up_for() -> None:
    lane = Tracked(refresh_ns=10 * MILLISECOND_NS)
    lane.watch(lambda _: 7, 100)
    lane._now_ns += 5 * SECOND_NS
    lane.watch(lambda _: 7, 100)
    assert sum(lane.windows(10 * MILLISECOND_NS)[0]) <= 21


@pytest.mark.statement("RING-12")
def test_a_repeat_reads_as_its_value() -> None:
    lane = Tracked(refresh_ns=SECOND_NS)
    lane.watch(lambda _: -7, 5)
    rows = lane.rows()
    assert (int64s(rows.values), rows.reasons, uint32s(rows.distinct)) == ([-7] * 5, [], [1])


@pytest.mark.statement("RING-12")
def test_a_reason_is_no_reading_and_hides_no_change() -> None:
    lane = Tracked(refresh_ns=100 * MILLISECOND_NS)
    for value, reason in [(1, 0), (1, 0), (0, TIMEOUT), (1, 0), (0, TIMEOUT), (2, 0)]:
        lane.see(value, reason)
    assert uint32s(lane.rows().distinct) == [2]
    assert [(row, reason) for _, row, reason, _ in lane.rows().reasons] == [(2, 4), (4, 4)]


@pytest.mark.fault("G3")
@pytest.mark.statement("RING-11")
@pytest.mark.parametrize("period_ms", [100, 1])
def test_energy_from_mean_power_is_the_truth(period_ms: int) -> None:
    """Sensor and load at odds: power swings by two thirds each 1.7 s."""
    source = noisy(period_ms * MILLISECOND_NS)

    def power(now_ns: int) -> int:
        beat_ns = now_ns // (period_ms * MILLISECOND_NS) * period_ms * MILLISECOND_NS
        return source(now_ns) - (150_000 if beat_ns % (1700 * MILLISECOND_NS) < SECOND_NS else 0)

    lane = Tracked()
    seen = lane.watch(power, 30_000)
    counts, sums = lane.windows()
    energy = sum(total / count for total, count in zip(sums, counts, strict=True))
    assert energy == pytest.approx(sum(seen) / 1000, rel=0.005)
    assert all(abs(count - 1000 / period_ms) <= (period_ms > 1) for count in counts[2:])


# Counters

COUNTERS: dict[str, tuple[int, list[int | None], list[int | None], int]] = {
    # bits, what the counter reads (None: nothing), what its cells say (None: implausible), resets
    "steady": (32, [5, 5, 7, 1000], [5, 5, 7, 1000], 0),
    "wraps at 8 bits": (8, [250, 255, 3], [250, 255, 259], 0),
    "wraps at 16 bits": (16, [65_000, 9], [65_000, 65_545], 0),
    "wraps at 32 bits": (32, [2**32 - 10, 20], [2**32 - 10, 2**32 + 20], 0),
    "wraps at 48 bits": (48, [2**48 - 1, 0], [2**48 - 1, 2**48], 0),
    "wraps twice": (8, [200, 10, 100, 220, 1, 2], [200, 266, 356, 476, 513, 514], 0),
    "a wrap between two wraps is not seen": (8, [250, 4], [250, 260], 0),
    "stands after a wrap": (8, [250, 4, 4, 4], [250, 260, 260, 260], 0),
    "never wraps at 64 bits": (64, [2**63 - 1, 5, 5, 5], [2**63 - 1, None, None, 5], 1),
    "resets": (32, [1000, 3, 4, 5, 6], [1000, None, None, 5, 6], 1),
    "resets to nothing": (64, [1000, 0, 0, 0, 0], [1000, None, None, 0, 0], 1),
    "resets after a wrap": (8, [250, 100, 100, 100], [250, None, None, 100], 1),
    "loses its wraps at a reset": (
        8,
        [250, 4, 190, 100, 101, 102],
        [250, 260, 446, None, None, 102],
        1,
    ),
    "falls on": (32, [1000, 500, 400, 300, 301, 302], [1000, None, None, None, None, 302], 1),
    "drops and recovers": (32, [1000, 0, 1001], [1000, None, 1001], 0),
    "recovers to the same": (32, [1000, 0, 1000, 0, 1000], [1000, None, 1000, None, 1000], 0),
    "drops twice and recovers": (32, [1000, 0, 0, 1002, 1003], [1000, None, None, 1002, 1003], 0),
    "drops to a middle value and recovers": (32, [1000, 600, 1200], [1000, None, 1200], 0),
    "drops to a middle value and stays": (32, [1000, 600, 610, 620], [1000, None, None, 620], 1),
    "recovers after a wrap": (8, [250, 4, 2, 5], [250, 260, None, 261], 0),
    "resets twice": (32, [9, 1, 1, 1, 0, 0, 0], [9, None, None, 1, None, None, 0], 2),
    "goes on after a gap": (32, [1000, None, None, 1005], [1000, None, None, 1005], 0),
    "wraps in a gap": (8, [250, None, 4], [250, None, 260], 0),
    "resets across gaps": (32, [1000, 3, None, 4, None, 5], [1000, None, None, None, None, 5], 1),
    "begins with a gap": (32, [None, 7, 8], [None, 7, 8], 0),
    "is wider than declared": (8, [250, 300, 310, 5, 5, 5], [250, 300, 310, None, None, 5], 1),
}


@pytest.mark.statement("RING-13")
@pytest.mark.statement("RING-14")
@pytest.mark.fault("A16")
@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_that(name: str) -> None:
    bits, readings, cells, resets = COUNTERS[name]
    lane = Tracked(TRACK_COUNTER, bits)
    for reading in readings:
        lane.see(reading or 0, 0 if reading is not None else IMPLAUSIBLE)
    assert lane.cells() == cells
    assert uint32s(lane.ring.resets(0)) == [resets]


@pytest.mark.statement("RING-14")
def test_rows_of_one_low_reading_are_no_reset() -> None:
    """A counter that renews its value each 100 ms reads 0 once."""
    lane = Tracked(TRACK_COUNTER)

    def rising(now_ns: int) -> int:
        beat = now_ns // (100 * MILLISECOND_NS)
        return 31 * beat + random.Random(beat).randrange(9)

    lane.watch(rising, 3000)
    assert lane.refresh_ns == pytest.approx(100 * MILLISECOND_NS, rel=0.02)
    lane.watch(lambda _: 0, 100)
    lane.watch(rising, 100)
    assert uint32s(lane.ring.resets(0)) == [0]
    assert lane.cells()[3000:3100] == [None] * 100
    assert None not in lane.cells()[3100:]
    lane.watch(lambda _: 0, 400)
    assert uint32s(lane.ring.resets(0)) == [1]


@pytest.mark.statement("RING-13")
def test_extended_counters_repeat_as_well() -> None:
    lane = Tracked(TRACK_COUNTER, 8, refresh_ns=SECOND_NS)
    for value in (250, 4, 4, 4):
        lane.see(value)
    assert uint32s(lane.rows().distinct) == [2]
    assert lane.cells() == [250, 260, 260, 260]


# Ring.track


def test_columns_are_tracked_apart() -> None:
    ring, reader = make_ring(columns=3)
    ring.track(
        0, [(TRACK_NONE, 64, SECOND_NS), (TRACK_GAUGE, 64, SECOND_NS), (TRACK_COUNTER, 8, 0)]
    )
    for cells in ([9, 9, 255], [8, 8, 1], [8, 8, 0]):
        commit(ring, START_NS + cells[2], cells)
    rows = reader.rows(0, 0, 10)
    assert int64s(rows.values) == [9, 8, 8, 9, 8, 8, 255, 257, 0]
    assert rows.reasons == [(2, 2, IMPLAUSIBLE, 0)]
    assert uint32s(rows.distinct) == [3, 2, 2]


def test_untracked_lanes_are_as_they_were() -> None:
    ring, reader = make_ring(columns=1)
    for value in (5, 5, 1):
        commit(ring, 0, [value])
    assert uint32s(reader.rows(0, 0, 10).distinct) == [3]
    assert (int64s(ring.refresh_ns(0)), uint32s(ring.resets(0))) == ([0], [0])
    assert uint32s(reader.rows(0, 3, 10).distinct) == [0]


@pytest.mark.parametrize(
    "column",
    [(-1, 64, 0), (3, 64, 0), (TRACK_COUNTER, 7, 0), (TRACK_COUNTER, 65, 0), (TRACK_GAUGE, 64, -1)],
)
def test_a_column_out_of_range_is_refused(column: tuple[int, int, int]) -> None:
    ring, _ = make_ring(columns=1)
    with pytest.raises(ValueError, match="TRACK"):
        ring.track(0, [column])
    ring.track(0, [(TRACK_GAUGE, 64, 0)])


def test_a_lane_is_tracked_once_and_from_the_start() -> None:
    ring, _ = make_ring(columns=1)
    with pytest.raises(ValueError, match="2 columns"):
        ring.track(0, [(TRACK_GAUGE, 64, 0)] * 2)
    with pytest.raises(TypeError, match="tuple"):
        ring.track(0, [[TRACK_GAUGE, 64, 0]])  # type: ignore[list-item]
    ring.track(0, [(TRACK_GAUGE, 64, 0)])
    with pytest.raises(ValueError, match="already"):
        ring.track(0, [(TRACK_GAUGE, 64, 0)])
    late, _ = make_ring(columns=1)
    commit(late, 0, [1])
    with pytest.raises(ValueError, match="already"):
        late.track(0, [(TRACK_GAUGE, 64, 0)])
    claimed, _ = make_ring(columns=1)
    lane = Lane(claimed, 0, MILLISECOND_NS, [])
    with pytest.raises(ValueError, match="already"):
        claimed.track(0, [(TRACK_GAUGE, 64, 0)])
    del lane
    records = Ring([(LANE_RECORDS, 0, 8, 8, 0)])
    with pytest.raises(ValueError, match="other kind"):
        records.track(0, [])


def test_c_lanes_are_tracked_as_well(tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("250\n")
    ring, reader = make_ring(columns=2, slots=4096)
    ring.track(0, [(TRACK_COUNTER, 8, 100 * SECOND_NS), (TRACK_GAUGE, 64, 0)])
    lane = Lane(ring, 0, MILLISECOND_NS, [probe(file, field(0))])
    lane.start()
    wait_rows(reader, 5)
    file.write_text("004\n")
    wait_rows(reader, reader.state(0).committed + 5)
    assert lane.stop(TIMEOUT_NS)
    rows = RingReader(ring.fd).rows(0, 0, 10**6)
    values = int64s(rows.values)[: rows.n]
    assert (values[0], values[-1]) == (250, 260)
    assert uint32s(rows.distinct) == [2, 0]
