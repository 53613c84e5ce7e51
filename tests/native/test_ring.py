from __future__ import annotations

import mmap
import os
import signal
import struct
from array import array

import pytest

from native.rig import SECOND_NS, column, commit, int64s, make_ring, uint32s, until
from xinmai_native import LANE_COLUMNS, LANE_RECORDS, Ring, RingReader


@pytest.mark.statement("RING-1")
@pytest.mark.fault("C5")
def test_descriptor_cannot_be_resized_or_mapped_writable() -> None:
    ring, _ = make_ring()
    size = os.fstat(ring.fd).st_size
    for other in (0, 4096, size + 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(ring.fd, other)
    with pytest.raises(PermissionError):
        mmap.mmap(ring.fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    with pytest.raises(PermissionError):
        os.pwrite(ring.fd, b"x", 0)
    commit(ring, 0, [1, 2])


def test_header_is_laid_out_as_specified() -> None:
    ring = Ring([(LANE_COLUMNS, 3, 0, 7, 1000), (LANE_RECORDS, 0, 33, 5, 0)])
    head = os.pread(ring.fd, 48, 0)
    magic, version, lanes, total, name, pid, reserved, created = struct.unpack("<8sIIQ8sIIq", head)
    assert (magic, version, lanes) == (b"XMRING1\0", 1, 2)
    assert total == os.fstat(ring.fd).st_size
    assert (name, pid, reserved) == (ring.id, os.getpid(), 0)
    assert created > 0
    first = struct.unpack("<IIIIQQ", os.pread(ring.fd, 32, 4096))
    second = struct.unpack("<IIIIQQ", os.pread(ring.fd, 32, 4096 + 256))
    assert first == (1, 3, 0, 72, 7, 8192)
    assert second == (2, 0, 33, 80, 5, 12288)


@pytest.mark.statement("RING-3")
def test_slot_and_lane_header_hold_the_row() -> None:
    ring, _ = make_ring(columns=2, slots=4)
    ring.commit(0, 100, 140, 7, 3, array("q", [-5, 6]), bytes(2))
    slot = os.pread(ring.fd, 40 + 18, 8192)
    position, scheduled, begin, duration, missed, length, _ = struct.unpack("<QqqIIII", slot[:40])
    assert (position, scheduled, begin, duration, missed, length) == (0, 100, 140, 7, 3, 18)
    assert struct.unpack("<qq2B", slot[40:]) == (-5, 6, 0, 0)
    line = struct.unpack("<QQqqQq", os.pread(ring.fd, 48, 4096 + 64))
    assert line == (1, 1, 100, 140, 3, SECOND_NS)
    assert struct.unpack("<QqQQQ", os.pread(ring.fd, 40, 4096 + 128)) == (0, 0, 7, 40, 40)


@pytest.mark.statement("RING-2")
@pytest.mark.fault("C4")
def test_positions_count_on_over_the_slots() -> None:
    ring, reader = make_ring(columns=1, slots=3)
    assert [commit(ring, i, [i]) for i in range(10)] == list(range(10))
    rows = reader.rows(0, 7, 100)
    assert (rows.first_position, rows.next_position, rows.overrun) == (7, 10, 0)
    assert int64s(rows.values) == [7, 8, 9]


@pytest.mark.statement("RING-4")
@pytest.mark.fault("C3")
def test_full_ring_overwrites_the_oldest() -> None:
    ring, reader = make_ring(columns=1, slots=8)
    for i in range(30):
        commit(ring, i, [i])
    rows = reader.rows(0, 0, 100)
    assert (rows.first_position, rows.overrun, rows.n) == (22, 22, 8)
    assert int64s(rows.values) == list(range(22, 30))


@pytest.mark.statement("RING-6")
def test_reader_asks_for_rows_again_by_its_own_position() -> None:
    ring, reader = make_ring(columns=1, slots=8)
    for i in range(5):
        commit(ring, i, [i])
    first = reader.rows(0, 0, 2)
    assert int64s(first.values) == [0, 1]
    assert reader.rows(0, 0, 2) == first
    assert int64s(reader.rows(0, first.next_position, 100).values) == [2, 3, 4]
    assert reader.rows(0, 5, 100).n == 0


@pytest.mark.statement("RING-8")
@pytest.mark.fault("C5")
def test_rows_outlive_their_producer() -> None:
    read_end, write_end = os.pipe()
    ring, reader = make_ring(columns=1, slots=64)
    child = os.fork()
    if child == 0:
        for i in range(40):
            commit(ring, i, [i])
        os.write(write_end, b"x")
        signal.pause()
    os.read(read_end, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read_end)
    os.close(write_end)
    assert int64s(reader.rows(0, 0, 100).values) == list(range(40))


def test_mapping_of_the_reader_outlives_the_ring() -> None:
    ring, reader = make_ring(columns=1)
    commit(ring, 1, [5])
    ring.close()
    del ring
    assert int64s(reader.rows(0, 0, 10).values) == [5]


@pytest.mark.statement("RING-9")
def test_cell_is_a_value_or_a_reason() -> None:
    ring, reader = make_ring(columns=12, slots=4)
    commit(ring, 0, [99] * 12, list(range(12)))
    rows = reader.rows(0, 0, 1)
    assert int64s(rows.values) == [99, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0]
    assert rows.reasons == [(c, 0, c, 99 if c == 7 else 0) for c in range(1, 12)]


def test_unknown_reason_is_refused() -> None:
    ring, reader = make_ring(columns=2)
    with pytest.raises(ValueError, match="reason 12"):
        commit(ring, 0, [1, 2], [0, 12])
    assert reader.state(0).committed == 0


@pytest.mark.statement("RING-10")
def test_missed_ticks_stand_in_the_row_and_in_the_total() -> None:
    ring, reader = make_ring(columns=1)
    for missed in (0, 3, 2**32 + 7):
        commit(ring, 0, [0], missed=missed)
    assert uint32s(reader.rows(0, 0, 10).missed) == [0, 3, 2**32 - 1]
    assert reader.state(0).missed == 2**32 + 10


def test_state_follows_the_newest_row() -> None:
    ring, reader = make_ring(columns=1)
    assert reader.state(0)._asdict() == {
        "committed": 0,
        "missed": 0,
        "call": -1,
        "since_ns": 0,
        "scheduled_ns": 0,
        "begin_ns": 0,
        "period_ns": SECOND_NS,
        "busy_ns": 0,
        "late_ns": 0,
        "late_max_ns": 0,
    }
    commit(ring, 100, [0], late_ns=30)
    commit(ring, 200, [0], late_ns=10)
    state = reader.state(0)
    assert (state.committed, state.scheduled_ns, state.begin_ns) == (2, 200, 210)
    assert (state.busy_ns, state.late_ns, state.late_max_ns) == (10, 40, 30)


def test_running_poll_is_shown() -> None:
    ring, reader = make_ring()
    ring.enter(0, 3, 777)
    assert (reader.state(0).call, reader.state(0).since_ns) == (3, 777)
    ring.enter(lane=0, call=-1, since_ns=0)
    assert (reader.state(0).call, reader.state(0).since_ns) == (-1, 0)
    with pytest.raises(ValueError, match="call -2"):
        ring.enter(0, -2, 0)


def test_records_come_back_in_order() -> None:
    ring = Ring([(LANE_RECORDS, 0, 16, 4, 0)])
    reader = RingReader(ring.fd)
    texts = [b"", b"a", bytes(16), b"last"]
    for time_ns, text in enumerate(texts):
        assert ring.append(0, time_ns, text) == time_ns
    assert reader.records(0, 0, 100) == (4, 0, list(enumerate(texts)))
    assert reader.records(0, 0, 1) == (1, 0, [(0, b"")])
    ring.append(0, 9, b"over")
    assert reader.records(0, 0, 100) == (
        5,
        1,
        [(1, b"a"), (2, bytes(16)), (3, b"last"), (9, b"over")],
    )
    with pytest.raises(ValueError, match="17 bytes"):
        ring.append(0, 0, bytes(17))


def test_wrong_lane_or_size_is_refused() -> None:
    ring = Ring([(LANE_COLUMNS, 2, 0, 4, 0), (LANE_RECORDS, 0, 8, 4, 0)])
    reader = RingReader(ring.fd)
    for lane in (-1, 2, 2**40):
        with pytest.raises(ValueError, match="not in the ring"):
            ring.enter(lane, 0, 0)
        with pytest.raises(ValueError, match="not in the ring"):
            reader.state(lane)
    with pytest.raises(ValueError, match="other kind"):
        ring.append(0, 0, b"")
    with pytest.raises(ValueError, match="other kind"):
        ring.commit(1, 0, 0, 0, 0, b"", b"")
    with pytest.raises(ValueError, match="other kind"):
        reader.records(0, 0, 1)
    with pytest.raises(ValueError, match="other kind"):
        reader.rows(1, 0, 1)
    with pytest.raises(ValueError, match="no row of 2 columns"):
        ring.commit(0, 0, 0, 0, 0, bytes(8), bytes(2))
    with pytest.raises(ValueError, match="no row of 2 columns"):
        ring.commit(0, 0, 0, 0, 0, bytes(16), bytes(3))
    with pytest.raises(ValueError, match="negative"):
        ring.commit(0, 0, 0, -1, 0, bytes(16), bytes(2))


@pytest.mark.parametrize(
    "lane",
    [
        (0, 1, 0, 1, 0),
        (3, 1, 0, 1, 0),
        (LANE_COLUMNS, 0, 0, 1, 0),
        (LANE_COLUMNS, 65536, 0, 1, 0),
        (LANE_COLUMNS, 1, 1, 1, 0),
        (LANE_COLUMNS, 1, 0, 0, 0),
        (LANE_COLUMNS, 1, 0, -1, 0),
        (LANE_COLUMNS, 1, 0, 2**62, 0),
        (LANE_COLUMNS, 1, 0, 1, -1),
        (LANE_RECORDS, 0, 0, 1, 0),
        (LANE_RECORDS, 1, 8, 1, 0),
        (LANE_RECORDS, 0, 2**32, 1, 0),
    ],
)
def test_impossible_lane_is_refused(lane: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="lane"):
        Ring([lane])


def test_number_of_lanes_is_bounded() -> None:
    with pytest.raises(ValueError, match="4096"):
        Ring([])
    with pytest.raises(ValueError, match="4096"):
        Ring([(LANE_COLUMNS, 1, 0, 1, 0)] * 4097)
    ring = Ring([(LANE_COLUMNS, 1, 0, 1, 0)] * 4096)
    assert len(RingReader(ring.fd).lanes) == 4096


def test_widest_lane_works() -> None:
    ring, reader = make_ring(columns=65535, slots=2)
    commit(ring, 0, range(65535))
    rows = reader.rows(0, 0, 5)
    assert column(rows.values, rows.n, 65534) == [65534]


def test_closed_ring_is_refused() -> None:
    ring, _ = make_ring()
    ring.close()
    ring.close()
    with pytest.raises(ValueError, match="closed"):
        commit(ring, 0, [1, 2])
    with pytest.raises(ValueError, match="closed"):
        _ = ring.fd


def test_ids_differ() -> None:
    assert len({make_ring()[0].id for _ in range(20)}) == 20


@pytest.mark.statement("RING-5")
@pytest.mark.fault("C2")
def test_reader_accepts_whole_rows_only_while_a_child_writes() -> None:
    ring, reader = make_ring(columns=20, slots=4)
    child = os.fork()
    if child == 0:
        i = 0
        while True:
            commit(ring, i, [i] * 20)
            i += 1
    position = accepted = overrun = 0
    try:
        until(lambda: reader.state(0).committed > 10)
        while accepted < 500:
            rows = reader.rows(0, position, 4)
            for row in range(rows.n):
                cells = {column(rows.values, rows.n, c)[row] for c in range(20)}
                assert cells == {rows.first_position + row}
            position, accepted = rows.next_position, accepted + rows.n
            overrun += rows.overrun
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert accepted + overrun == position
