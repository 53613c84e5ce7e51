from __future__ import annotations

import ctypes
import fcntl
import math
import os
import random
import threading
from pathlib import Path

import pytest

from native import reference
from native.rig import (
    HIGH,
    LOW,
    bits,
    column,
    commit,
    float64s,
    int64s,
    make_ring,
    uint32s,
)
from xinmai_native import (
    KIND_FLOAT,
    KIND_GAUGE,
    KIND_LAST,
    LANE_COLUMNS,
    Ring,
    RingError,
    RingReader,
    Windows,
)

SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


def memfd(content: bytes | bytearray, seals: int = SEALS) -> int:
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def image() -> bytearray:
    """A good ring of two lanes."""
    ring = Ring([(LANE_COLUMNS, 2, 0, 4, 0), (LANE_COLUMNS, 1, 0, 4, 0)])
    commit(ring, 1, [10, 20])
    return bytearray(os.pread(ring.fd, os.fstat(ring.fd).st_size, 0))


def open_image(content: bytes | bytearray) -> RingReader:
    fd = memfd(content)
    try:
        return RingReader(fd)
    finally:
        os.close(fd)


def test_copied_ring_opens_without_its_descriptor() -> None:
    reader = open_image(image())
    assert reader.pid == os.getpid()
    assert reader.lanes == ((LANE_COLUMNS, 2, 0, 4), (LANE_COLUMNS, 1, 0, 4))
    assert int64s(reader.rows(0, 0, 5).values) == [10, 20]


@pytest.mark.statement("RING-7")
@pytest.mark.fault("C6")
@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"YMRING1\0", "magic"),
        (8, (2).to_bytes(4, "little"), "version"),
        (12, (0).to_bytes(4, "little"), "lanes"),
        (12, (4097).to_bytes(4, "little"), "lanes"),
        (12, (100).to_bytes(4, "little"), "reach past|kind"),
        (16, (2**40).to_bytes(8, "little"), "total_bytes"),
        (4096, (3).to_bytes(4, "little"), "kind"),
        (4100, (0).to_bytes(4, "little"), "kind, columns"),
        (4100, (65536).to_bytes(4, "little"), "kind, columns"),
        (4100, (3).to_bytes(4, "little"), "slot_bytes"),
        (4104, (1).to_bytes(4, "little"), "payload_bytes"),
        (4108, (8).to_bytes(4, "little"), "slot_bytes"),
        (4112, (0).to_bytes(8, "little"), "slots"),
        (4112, (2**60).to_bytes(8, "little"), "slots"),
        (4112, (2**64 - 1).to_bytes(8, "little"), "slots"),
        (4112, (1000).to_bytes(8, "little"), "slots"),
        (4120, (0).to_bytes(8, "little"), "offset"),
        (4120, (8193).to_bytes(8, "little"), "offset"),
        (4120, (2**64 - 4096).to_bytes(8, "little"), "offset"),
    ],
)
def test_lying_header_is_refused(at: int, value: bytes, message: str) -> None:
    content = image()
    content[at : at + len(value)] = value
    with pytest.raises(RingError, match=message):
        open_image(content)


@pytest.mark.statement("RING-7")
def test_each_truncation_of_the_ring_is_refused() -> None:
    content = image()
    for size in (0, 1, 4095, 4096, 4097, 8192, 12288, len(content) - 1):
        with pytest.raises(RingError):
            open_image(content[:size])
    with pytest.raises(RingError, match="total_bytes"):
        open_image(content + bytes(4096))


@pytest.mark.fault("C6")
@pytest.mark.parametrize("seals", [0, fcntl.F_SEAL_GROW, fcntl.F_SEAL_SHRINK])
def test_unsealed_memory_is_refused(seals: int) -> None:
    fd = memfd(image(), seals)
    with pytest.raises(RingError, match="SIGBUS"):
        RingReader(fd)
    os.close(fd)


def test_other_descriptors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(image())
    with path.open("rb") as file, pytest.raises(RingError, match="memfd|sealed"):
        RingReader(file.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        RingReader(2**20)


@pytest.mark.statement("RING-7")
@pytest.mark.fault("C6")
def test_later_changes_of_the_header_move_no_bounds() -> None:
    ring, reader = make_ring(columns=2, slots=4)
    commit(ring, 1, [10, 20])
    # The producer's own mapping is the only one that can write.
    maps = Path("/proc/self/maps").read_text().splitlines()
    starts = [line.split("-")[0] for line in maps if "xinmai-ring" in line and " rw-s " in line]
    inode = str(os.fstat(ring.fd).st_ino)
    mine = [line.split("-")[0] for line in maps if inode in line.split() and " rw-s " in line]
    assert len(mine) == 1
    assert mine[0] in starts
    address = int(mine[0], 16)
    ctypes.memset(address + 4096, 0xFF, 32)
    ctypes.memset(address + 8, 0xFF, 8)
    assert reader.lanes == ((LANE_COLUMNS, 2, 0, 4),)
    assert int64s(reader.rows(0, 0, 5).values) == [10, 20]
    with pytest.raises(RingError):
        RingReader(ring.fd)


@pytest.mark.fault("C6")
def test_absurd_position_is_refused() -> None:
    ring, reader = make_ring(columns=1)
    for i in range(3):
        commit(ring, i, [i])
    with pytest.raises(RingError, match="backwards"):
        reader.rows(0, 4, 1)
    with pytest.raises(RingError, match="backwards"):
        reader.windows(0, 4, 10, 0, 1, bytes(1))
    with pytest.raises(ValueError, match="position"):
        reader.rows(0, -1, 1)
    with pytest.raises(ValueError, match="limit"):
        reader.rows(0, 0, 0)


def test_closed_reader_is_refused() -> None:
    _, reader = make_ring()
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        _ = reader.lanes
    with pytest.raises(ValueError, match="closed"):
        reader.rows(0, 0, 1)


def test_closing_while_another_thread_scans_is_safe() -> None:
    for _ in range(20):
        ring, reader = make_ring(columns=50, slots=2000)
        for i in range(2000):
            commit(ring, i, [i] * 50)
        failures: list[str] = []

        def scan(reader: RingReader = reader, failures: list[str] = failures) -> None:
            try:
                while True:
                    reader.windows(0, 0, 10, HIGH, 1000, bytes(50))
            except ValueError as error:
                failures.append(str(error))

        thread = threading.Thread(target=scan)
        thread.start()
        reader.close()
        thread.join()
        assert failures == ["the reader is closed"]


def test_batches_are_bounded() -> None:
    ring, reader = make_ring(columns=1000, slots=1500)
    for i in range(1500):
        commit(ring, i, [i] * 1000)
    rows = reader.rows(0, 0, 10**6)
    assert 0 < len(rows.values) <= 4 << 20
    assert rows.next_position == rows.n
    windows = reader.windows(0, 0, 1, HIGH, 10**6, bytes(1000))
    assert 0 < 36 * 1000 * windows.n <= 4 << 20
    assert windows.next_position == windows.n


# Windows


def rolled(windows: Windows, columns: int) -> list[list[reference.Rolled]]:
    """Per window and column, as the reference gives it."""
    n = windows.n
    counts = uint32s(windows.counts)
    out = []
    for w in range(n):
        line = []
        for c in range(columns):
            at = c * n + w
            reasons = {(r, code): k for i, j, r, code, k in windows.reasons if (i, j) == (c, w)}
            line.append(
                reference.Rolled(
                    count=counts[at],
                    last=int64s(windows.last)[at],
                    min=int64s(windows.min)[at],
                    max=int64s(windows.max)[at],
                    sum=int64s(windows.sum)[at],
                    reasons=reasons,
                )
            )
        out.append(line)
    return out


def random_rows(rng: random.Random, n: int, kinds: bytes) -> list[reference.Row]:
    rows = []
    scheduled = rng.randrange(-1000, 1000)
    for _ in range(n):
        scheduled += rng.choice([1, 1, 1, 10, 25, 100])
        values, reasons = [], []
        for kind in kinds:
            reason = rng.choice([0, 0, 0, 0, rng.randrange(12)])
            if kind == KIND_FLOAT:
                number = rng.choice([rng.uniform(-5, 5), math.inf, math.nan, 0.0, -0.0, 1e300])
                value = bits(number)
            else:
                value = rng.choice([rng.randrange(-9, 9), LOW, HIGH, rng.getrandbits(63)])
            if reason == reference.VENDOR_ERROR:
                value = rng.randrange(30)
            elif reason != 0:
                value = 0
            values.append(value)
            reasons.append(reason)
        late = rng.randrange(5)
        rows.append(
            reference.Row(scheduled, scheduled + late, rng.choice([0, 0, 2]), values, reasons)
        )
    return rows


@pytest.mark.parametrize("seed", range(30))
def test_windows_equal_the_reference(seed: int) -> None:
    rng = random.Random(seed)
    kinds = bytes(rng.choice([KIND_GAUGE, KIND_FLOAT, KIND_LAST]) for _ in range(4))
    rows = random_rows(rng, 200, kinds)
    ring, reader = make_ring(columns=4, slots=256)
    for row in rows:
        late = row.begin_ns - row.scheduled_ns
        commit(ring, row.scheduled_ns, row.values, row.reasons, missed=row.missed, late_ns=late)
    width = rng.choice([1, 7, 50, 400, 10**9])
    windows = reader.windows(0, 0, width, HIGH, 10**6, kinds)
    expected = reference.cut(rows, width)
    last_ends = (expected[-1].index + 1) * width
    assert last_ends <= HIGH
    assert (windows.n, windows.next_position, windows.overrun) == (len(expected), 200, 0)
    assert int64s(windows.start_ns) == [reference.start_ns(window, width) for window in expected]
    assert uint32s(windows.ticks) == [len(window.rows) for window in expected]
    assert uint32s(windows.missed) == [sum(r.missed for r in w.rows) for w in expected]
    assert rolled(windows, 4) == [
        [reference.roll(window, c, kind) for c, kind in enumerate(kinds)] for window in expected
    ]


def test_newest_window_waits_for_its_end() -> None:
    ring, reader = make_ring(columns=1)
    for i in range(25):
        commit(ring, i, [i])
    early = reader.windows(0, 0, 10, 29, 100, bytes(1))
    assert (early.n, early.next_position) == (2, 20)
    assert reader.windows(0, 0, 10, 29, 100, bytes(1)) == early
    late = reader.windows(0, 20, 10, 30, 100, bytes(1))
    assert (late.n, late.next_position, uint32s(late.ticks)) == (1, 25, [5])
    assert reader.windows(0, 25, 10, HIGH, 100, bytes(1)).n == 0


def test_drain_in_steps_gives_the_same_windows_as_one() -> None:
    ring, reader = make_ring(columns=1, slots=256)
    steps: list[tuple[int, int, int]] = []
    position = 0
    for i in range(100):
        commit(ring, 3 * i, [i * i], missed=i % 3)
        part = reader.windows(0, position, 20, 3 * i, 1, bytes(1))
        assert part.overrun == 0
        position = part.next_position
        steps += zip(int64s(part.start_ns), int64s(part.sum), uint32s(part.missed), strict=True)
    whole = reader.windows(0, 0, 20, 3 * 99, 100, bytes(1))
    assert whole.next_position == position
    assert steps == list(
        zip(int64s(whole.start_ns), int64s(whole.sum), uint32s(whole.missed), strict=True)
    )


def test_limit_leaves_whole_windows() -> None:
    ring, reader = make_ring(columns=1)
    for i in range(60):
        commit(ring, i, [1])
    part = reader.windows(0, 0, 10, HIGH, 2, bytes(1))
    assert (part.n, part.next_position) == (2, 20)
    assert int64s(reader.windows(0, 20, 10, HIGH, 2, bytes(1)).start_ns) == [20, 30]


def test_window_of_one_tick_starts_at_its_own_begin() -> None:
    ring, reader = make_ring(columns=1)
    commit(ring, 15, [7], late_ns=2)
    commit(ring, 25, [8])
    commit(ring, 26, [9])
    assert int64s(reader.windows(0, 0, 10, HIGH, 10, bytes(1)).start_ns) == [17, 20]


def test_time_that_turns_back_starts_a_new_window() -> None:
    ring, reader = make_ring(columns=1)
    for scheduled in (5, 15, 5, -5):
        commit(ring, scheduled, [1])
    windows = reader.windows(0, 0, 10, HIGH, 10, bytes(1))
    assert int64s(windows.start_ns) == [5, 15, 5, -5]


def test_extreme_times_do_no_harm() -> None:
    ring, reader = make_ring(columns=1)
    for scheduled in (HIGH, LOW, HIGH - 1, LOW + 1):
        ring.commit(0, scheduled, 0, 0, 0, bytes(8), bytes(1))
    for width in (1, 3, HIGH):
        assert reader.windows(0, 0, width, HIGH, 10, bytes(1)).n in (3, 4)
        assert reader.windows(0, 0, width, LOW, 10, bytes(1)).n == 3


def test_overrun_is_counted_once_over_a_repeated_drain() -> None:
    ring, reader = make_ring(columns=1, slots=10)
    for i in range(25):
        commit(ring, i, [i])
    windows = reader.windows(0, 0, 10, 25, 100, bytes(1))
    assert (windows.overrun, windows.n, windows.next_position) == (15, 1, 20)
    assert (uint32s(windows.ticks), int64s(windows.min)) == ([5], [15])
    again = reader.windows(0, 20, 10, 30, 100, bytes(1))
    assert (again.overrun, again.n) == (0, 1)


def test_sum_wraps_and_floats_add_as_doubles() -> None:
    ring, reader = make_ring(columns=2)
    for number in (0.5, -2.25):
        commit(ring, 0, [HIGH, bits(number)])
    windows = reader.windows(0, 0, 10, HIGH, 1, bytes([KIND_GAUGE, KIND_FLOAT]))
    assert column(windows.sum, 1, 0) == [-2]
    assert float64s(windows.sum)[1] == -1.75
    assert float64s(windows.min)[1] == -2.25
    assert float64s(windows.max)[1] == 0.5


def test_float_that_is_no_number_counts_as_implausible() -> None:
    ring, reader = make_ring(columns=1)
    for number in (math.nan, 1.0, math.inf, -math.inf):
        commit(ring, 0, [bits(number)])
    windows = reader.windows(0, 0, 10, HIGH, 1, bytes([KIND_FLOAT]))
    assert windows.reasons == [(0, 0, 8, 0, 3)]
    assert float64s(windows.sum) == [1.0]


def test_codes_beyond_sixteen_are_counted_together() -> None:
    ring, reader = make_ring(columns=1)
    for code in range(1, 31):
        commit(ring, 0, [code], [7])
    windows = reader.windows(0, 0, 10, HIGH, 1, bytes(1))
    assert windows.reasons == [(0, 0, 7, code, 1) for code in range(1, 17)] + [(0, 0, 7, 0, 14)]


def test_wrong_kinds_are_refused() -> None:
    _, reader = make_ring(columns=2)
    with pytest.raises(ValueError, match="kinds for 2 columns"):
        reader.windows(0, 0, 10, 0, 1, bytes(1))
    with pytest.raises(ValueError, match="kind 3"):
        reader.windows(0, 0, 10, 0, 1, bytes([0, 3]))
    with pytest.raises(ValueError, match="width_ns"):
        reader.windows(0, 0, 0, 0, 1, bytes(2))
