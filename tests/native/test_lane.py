from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from native.rig import (
    MILLISECOND_NS,
    SECOND_NS,
    TIMEOUT_NS,
    Field,
    Probe,
    column,
    commit,
    field,
    int64s,
    make_ring,
    probe,
    uint32s,
    until,
    wait_rows,
)
from xinmai_native import LANE_COLUMNS, LANE_RECORDS, Lane, Ring, RingReader, clock

VALUE, UNSUPPORTED, NOT_YET, DEVICE_LOST, VENDOR_ERROR, IMPLAUSIBLE = 0, 1, 3, 5, 7, 8
C_TESTS = Path(__file__).parent / "c"


@contextmanager
def running(
    probes: Sequence[Probe], columns: int, period_ns: int = MILLISECOND_NS, slots: int = 4096
) -> Iterator[tuple[Ring, RingReader, Lane]]:
    ring, reader = make_ring(columns, slots)
    lane = Lane(ring, 0, period_ns, probes)
    lane.start()
    try:
        yield ring, reader, lane
    finally:
        assert lane.stop(TIMEOUT_NS)


def newest(reader: RingReader, columns: int) -> list[tuple[int, int]]:
    """(reason, value or code) of each cell of a row that began after this call."""
    position = wait_rows(reader, reader.state(0).committed + 2).committed - 1
    rows = reader.rows(0, position, 1)
    reasons = {c: reason for c, _, reason, _ in rows.reasons}
    return [(reasons.get(c, VALUE), int64s(rows.values)[c]) for c in range(columns)]


def read_once(text: str, tmp_path: Path, *fields: Field) -> list[tuple[int, int]]:
    path = tmp_path / "probe"
    path.write_text(text)
    with running([probe(path, *fields)], len(fields)) as (_, reader, _lane):
        return newest(reader, len(fields))


def threads() -> list[tuple[int, str]]:
    """(id, name) of this process's threads; one may end while they are listed."""
    found = []
    for path in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append((int(path.name), (path / "comm").read_text().strip()))
    return found


def thread_names() -> list[str]:
    return [name for _, name in threads()]


@pytest.mark.statement("RING-10")
@pytest.mark.fault("G1")
@pytest.mark.fault("G2")
def test_rows_and_missed_ticks_cover_the_grid(tmp_path: Path) -> None:
    probes = []
    for i in range(100):
        (tmp_path / str(i)).write_text(f"{1000 + i}\n")
        probes.append(probe(tmp_path / str(i), field(i)))
    with running(probes, 100) as (_, reader, lane):
        first_ns = wait_rows(reader, 1).scheduled_ns
        until(lambda: reader.state(0).scheduled_ns >= first_ns + SECOND_NS)
        assert lane.stop(TIMEOUT_NS)
        state = reader.state(0)
        scheduled: list[int] = []
        missed: list[int] = []
        position = 0
        while position < state.committed:
            rows = reader.rows(0, position, 10_000)
            assert rows.overrun == 0
            assert not rows.reasons
            for i in range(100):
                assert set(column(rows.values, rows.n, i)) == {1000 + i}
            scheduled += int64s(rows.scheduled_ns)
            missed += uint32s(rows.missed)
            position = rows.next_position
    assert len(scheduled) == state.committed
    assert all(time % MILLISECOND_NS == 0 for time in scheduled)
    assert (scheduled[-1] - scheduled[0]) // MILLISECOND_NS + 1 == len(scheduled) + sum(missed[1:])
    assert state.missed == sum(missed)
    assert scheduled[-1] - scheduled[0] >= SECOND_NS
    assert state.scheduled_ns == scheduled[-1]
    assert 0 < state.busy_ns < 20 * SECOND_NS
    assert 0 < state.late_max_ns <= state.late_ns
    assert lane.cpu_ns() > 0


def test_deadlines_of_lanes_align() -> None:
    ring = Ring([(LANE_COLUMNS, 1, 0, 256, 0), (LANE_COLUMNS, 1, 0, 256, 0)])
    reader = RingReader(ring.fd)
    lanes = [Lane(ring, i, 5 * MILLISECOND_NS, []) for i in range(2)]
    for lane in lanes:
        lane.start()
    for i in range(2):
        wait_rows(reader, 3, i)
    assert all(lane.stop(TIMEOUT_NS) for lane in lanes)
    for i in range(2):
        assert all(
            time % (5 * MILLISECOND_NS) == 0 for time in int64s(reader.rows(i, 0, 9).scheduled_ns)
        )


@pytest.mark.fault("C7")
def test_times_of_a_row_are_monotonic_ones() -> None:
    with running([], 1) as (_, reader, _lane):
        before = clock()[0]
        newest(reader, 1)
        state = reader.state(0)
        rows = reader.rows(0, state.committed - 1, 1)
        after = clock()[0]
    assert before <= state.begin_ns <= after
    assert before - MILLISECOND_NS <= int64s(rows.scheduled_ns)[0] <= int64s(rows.begin_ns)[0]
    assert int64s(rows.begin_ns)[0] + uint32s(rows.duration_ns)[0] <= after


def test_first_row_is_due_when_asked_for() -> None:
    ring, reader = make_ring(columns=1)
    lane = Lane(ring, 0, MILLISECOND_NS, [])
    first_ns = clock()[0] + 30 * MILLISECOND_NS + 123
    lane.start(first_ns=first_ns)
    wait_rows(reader, 3)
    assert lane.stop(TIMEOUT_NS)
    rows = reader.rows(0, 0, 1)
    due, missed = int64s(rows.scheduled_ns)[0], uint32s(rows.missed)[0]
    assert due == first_ns + missed * MILLISECOND_NS


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("45000\n", field(0), (VALUE, 45000)),
        ("-7\n", field(0), (VALUE, -7)),
        ("0.12\n", field(0, decimals=2), (VALUE, 12)),
        ("0.129\n", field(0, decimals=2), (VALUE, 12)),
        ("3\n", field(0, decimals=2), (VALUE, 300)),
        ("1 2 3\n", field(0, index=2), (VALUE, 3)),
        ("1 2 3\n", field(0, index=3), (UNSUPPORTED, 0)),
        ("some avg10=0.25\nfull avg10=1.5\n", field(0, b"full", 0, 2), (VALUE, 150)),
        (" face\n  eth0: 1 2\n", field(0, b"eth0:", 1), (VALUE, 2)),
        (" face\n  eth0: 1 2\n", field(0, b"eth1:", 1), (UNSUPPORTED, 0)),
        ("", field(0), (UNSUPPORTED, 0)),
        ("n/a\n", field(0), (UNSUPPORTED, 0)),
        ("18446744073709551615\n", field(0), (VALUE, -1)),
        ("18446744073709551616\n", field(0), (IMPLAUSIBLE, 0)),
        ("0x10\n", field(0), (IMPLAUSIBLE, 0)),
        ("65535\n", field(0, sentinels=[1, 65535]), (UNSUPPORTED, 0)),
        ("18446744073709551615\n", field(0, sentinels=[2**64 - 1]), (UNSUPPORTED, 0)),
        ("-1\n", field(0, sentinels=[-1]), (UNSUPPORTED, 0)),
        ("11\n", field(0, low=0, high=10), (IMPLAUSIBLE, 0)),
        ("10\n", field(0, low=0, high=10), (VALUE, 10)),
    ],
)
def test_text_becomes_a_value_or_a_reason(
    text: str, asked: Field, expected: tuple[int, int], tmp_path: Path
) -> None:
    assert read_once(text, tmp_path, asked) == [expected]


def test_one_file_fills_many_columns(tmp_path: Path) -> None:
    text = "cpu  10 20 30\ncpu0 1 2 3\nctxt 99\n"
    fields = (field(3, b"cpu", 0), field(1, b"cpu", 2), field(0, b"ctxt"), field(2, b"cpu0", 1))
    assert read_once(text, tmp_path, *fields) == [(0, 99), (0, 30), (0, 2), (0, 10)]


def test_proc_is_read_as_it_changes() -> None:
    with running([probe("/proc/uptime", field(0, decimals=2))], 1) as (_, reader, _lane):
        before = clock()[1]
        reason, centiseconds = newest(reader, 1)[0]
    assert reason == VALUE
    assert before // 10**7 - 2 <= centiseconds <= clock()[1] // 10**7 + 2


def test_column_without_a_field_is_unsupported(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("5\n")
    with running([probe(tmp_path / "a", field(1))], 3) as (_, reader, _lane):
        assert newest(reader, 3) == [(UNSUPPORTED, 0), (VALUE, 5), (UNSUPPORTED, 0)]


@pytest.mark.fault("A21")
def test_fifo_in_place_of_a_file_does_not_hold_the_lane(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("5\n")
    probes = [probe(tmp_path / "fifo", field(0)), probe(tmp_path / "file", field(1))]
    with running(probes, 2) as (_, reader, _lane):
        assert newest(reader, 2) == [(NOT_YET, 0), (VALUE, 5)]


def test_lost_file_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "sensor"
    with running([probe(path, field(0))], 1) as (_, reader, _lane):
        assert newest(reader, 1) == [(DEVICE_LOST, 0)]
        path.write_text("1\n")
        until(lambda: newest(reader, 1) == [(VALUE, 1)])
        path.unlink()
        until(lambda: newest(reader, 1) == [(DEVICE_LOST, 0)])
        path.write_text("2\n")
        until(lambda: newest(reader, 1) == [(VALUE, 2)])
        (tmp_path / "other").write_text("3\n")
        (tmp_path / "other").rename(path)
        until(lambda: newest(reader, 1) == [(VALUE, 3)])


def test_unreadable_file_gives_the_errno(tmp_path: Path) -> None:
    with running([probe(tmp_path, field(0))], 1) as (_, reader, _lane):
        assert newest(reader, 1) == [(VENDOR_ERROR, 21)]


def test_period_changes_on_the_run() -> None:
    with running([], 1, period_ns=3600 * SECOND_NS) as (_, reader, lane):
        assert reader.state(0).period_ns == 3600 * SECOND_NS
        lane.set_period(2 * MILLISECOND_NS)
        state = wait_rows(reader, 4)
        assert state.period_ns == 2 * MILLISECOND_NS
        times = int64s(reader.rows(0, 0, 4).scheduled_ns)
        assert all(time % (2 * MILLISECOND_NS) == 0 for time in times)
        lane.set_period(3600 * SECOND_NS)
        until(lambda: reader.state(0).period_ns == 3600 * SECOND_NS)


def test_stop_ends_the_thread_and_start_goes_on() -> None:
    ring, reader = make_ring(columns=1)
    lane = Lane(ring, 0, MILLISECOND_NS, [])
    assert lane.stop(0)
    assert lane.cpu_ns() == 0
    lane.start()
    with pytest.raises(RuntimeError, match="runs already"):
        lane.start()
    wait_rows(reader, 3)
    assert "xm-lane-0" in thread_names()
    assert lane.stop(TIMEOUT_NS)
    until(lambda: "xm-lane-0" not in thread_names())
    committed, cpu_ns = reader.state(0).committed, lane.cpu_ns()
    assert cpu_ns > 0
    lane.start()
    wait_rows(reader, committed + 2)
    assert lane.stop(TIMEOUT_NS)
    assert lane.cpu_ns() > cpu_ns


def test_forgotten_lane_ends_its_thread() -> None:
    ring, reader = make_ring(columns=1)
    lane = Lane(ring, 0, MILLISECOND_NS, [])
    lane.start()
    wait_rows(reader, 2)
    del lane
    until(lambda: "xm-lane-0" not in thread_names())
    commit(ring, 0, [1])


def test_running_lane_keeps_the_mapping_alive() -> None:
    ring, reader = make_ring(columns=1)
    lane = Lane(ring, 0, MILLISECOND_NS, [])
    lane.start()
    ring.close()
    del ring
    wait_rows(reader, reader.state(0).committed + 3)
    assert lane.stop(TIMEOUT_NS)


@pytest.mark.statement("RING-2")
def test_lane_has_one_producer() -> None:
    ring, _ = make_ring(columns=1)
    lane = Lane(ring, 0, MILLISECOND_NS, [])
    with pytest.raises(ValueError, match="belongs to another Lane"):
        Lane(ring, 0, MILLISECOND_NS, [])
    with pytest.raises(ValueError, match="belongs to a Lane"):
        commit(ring, 0, [1])
    with pytest.raises(ValueError, match="belongs to a Lane"):
        ring.enter(0, 1, 1)
    del lane
    assert commit(ring, 0, [1]) == 0


def test_signals_do_not_reach_the_thread() -> None:
    with running([], 1) as (_, reader, _lane):
        wait_rows(reader, 1)
        [task] = [task for task, name in threads() if name == "xm-lane-0"]
        status = Path(f"/proc/self/task/{task}/status").read_text()
        [mask] = [line.split()[1] for line in status.splitlines() if line.startswith("SigBlk")]
        # All but KILL, STOP and the two that the C library keeps for itself.
        assert int(mask, 16) | 0x1_8000_0000 | 1 << 8 | 1 << 18 == 2**64 - 1


def test_realtime_priority_is_taken_or_refused() -> None:
    ring, reader = make_ring(columns=1)
    lane = Lane(ring, 0, MILLISECOND_NS, [], fifo_priority=3)
    try:
        lane.start()
    except PermissionError:
        return
    wait_rows(reader, 2)
    ids = [task for task, name in threads() if name == "xm-lane-0"]
    assert [os.sched_getscheduler(task) & 3 for task in ids] == [os.SCHED_FIFO]
    assert os.sched_getparam(ids[0]).sched_priority == 3
    assert lane.stop(TIMEOUT_NS)


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ([(b"a", [field(-1)])], "not in the ring"),
        ([(b"a", [field(2)])], "not in the ring"),
        ([(b"a", [field(0)]), (b"b", [field(0)])], "two fields"),
        ([(b"a", [field(0, index=-1)])], "index"),
        ([(b"a", [field(0, decimals=19)])], "decimals"),
        ([(b"a", [field(0, low=1, high=0)])], "empty range"),
        ([(b"a", [field(0, key=b"")])], "one word"),
        ([(b"a", [field(0, key=b"two words")])], "one word"),
        ([(b"a\0b", [field(0)])], "null byte"),
    ],
)
def test_impossible_probe_is_refused(probes: list[Probe], message: str) -> None:
    ring, _ = make_ring(columns=2)
    with pytest.raises(ValueError, match=message):
        Lane(ring, 0, MILLISECOND_NS, probes)
    Lane(ring, 0, MILLISECOND_NS, [])


def test_wrong_types_are_refused() -> None:
    ring, _ = make_ring(columns=2)
    wrong: list[object] = [5, [5], [(b"a",)], [("text", [])], [(b"a", [5])], [(b"a", [(0,)])]]
    wrong.append([(b"a", [(0, "text", 0, 0, [], 0, 1)])])
    wrong.append([(b"a", [(0, None, 0, 0, ["x"], 0, 1)])])
    for probes in wrong:
        with pytest.raises(TypeError):
            Lane(ring, 0, MILLISECOND_NS, probes)  # type: ignore[arg-type]
    for sentinel in (2**64, -(2**63) - 1):
        with pytest.raises(OverflowError):
            Lane(ring, 0, MILLISECOND_NS, [(b"a", [field(0, sentinels=[sentinel])])])


def test_impossible_lane_is_refused() -> None:
    ring = Ring([(LANE_COLUMNS, 1, 0, 4, 0), (LANE_RECORDS, 0, 8, 4, 0)])
    for index in (-1, 2):
        with pytest.raises(ValueError, match="not in the ring"):
            Lane(ring, index, MILLISECOND_NS, [])
    with pytest.raises(ValueError, match="no lane of columns"):
        Lane(ring, 1, MILLISECOND_NS, [])
    for period_ns in (0, 9_999, 10**15):
        with pytest.raises(ValueError, match="period_ns"):
            Lane(ring, 0, period_ns, [])
    with pytest.raises(ValueError, match="fifo_priority"):
        Lane(ring, 0, MILLISECOND_NS, [], fifo_priority=100)
    lane = Lane(ring, 0, MILLISECOND_NS, [])
    with pytest.raises(ValueError, match="first_ns"):
        lane.start(-1)
    with pytest.raises(ValueError, match="period_ns"):
        lane.set_period(1)
    ring.close()
    with pytest.raises(ValueError, match="closed"):
        Lane(ring, 0, MILLISECOND_NS, [])


def test_ring_closed_while_probes_are_listed_is_survived() -> None:
    ring, _ = make_ring(columns=1)

    def probes() -> Iterator[Probe]:
        ring.close()
        yield (b"a", [])

    lane = Lane(ring, 0, MILLISECOND_NS, probes())  # type: ignore[arg-type]
    lane.start()
    assert lane.stop(TIMEOUT_NS)


def test_stop_lets_other_threads_run() -> None:
    with running([], 1, period_ns=MILLISECOND_NS) as (_, _reader, lane):
        stoppers = [threading.Thread(target=lane.stop, args=(TIMEOUT_NS,)) for _ in range(4)]
        for thread in stoppers:
            thread.start()
        for thread in stoppers:
            thread.join()


@pytest.fixture(scope="module")
def hanging_pread(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library for LD_PRELOAD in which reads of a file named `stuck` never come back."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    out = tmp_path_factory.mktemp("preload") / "hang.so"
    command = ["gcc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", str(out), str(C_TESTS / "hang.c")]
    subprocess.run(command, check=True)
    return out


@pytest.mark.fault("A21")
def test_stuck_read_is_named_and_left_behind(hanging_pread: Path, tmp_path: Path) -> None:
    script = """
        import sys
        from native.rig import MILLISECOND_NS, field, make_ring, probe, until
        from xinmai_native import Lane, clock

        def stuck():
            state = reader.state(0)
            return state.call == 1 and clock()[0] - state.since_ns > 200 * MILLISECOND_NS

        ring, reader = make_ring(columns=2)
        paths = [sys.argv[1] + "/good", sys.argv[1] + "/stuck"]
        lane = Lane(ring, 0, MILLISECOND_NS, [probe(p, field(c)) for c, p in enumerate(paths)])
        lane.start()
        until(stuck)
        assert reader.state(0).committed == 0
        assert lane.stop(20 * MILLISECOND_NS) is False
        assert lane.cpu_ns() > 0
        del lane, ring
        assert reader.state(0).call == 1
        print("left")
    """
    (tmp_path / "good").write_text("1\n")
    (tmp_path / "stuck").write_text("2\n")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        env={
            **os.environ,
            "LD_PRELOAD": str(hanging_pread),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "left\n", done.stderr
