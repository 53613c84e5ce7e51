"""Types of the C extension. Layout of the shared memory: docs/specs/001-ring.md."""

from collections.abc import Sequence
from typing import Final, NamedTuple, final

from typing_extensions import Buffer

from xinmai_native.calls import Call

LANE_COLUMNS: Final[int]
"""A lane of rows: one signed 64-bit cell and one reason byte per column."""
LANE_RECORDS: Final[int]
"""A lane of opaque records (events), each at most the lane's payload bytes."""

KIND_GAUGE: Final[int]
"""Column rolled up as count, last, min, max and sum of signed 64-bit integers."""
KIND_FLOAT: Final[int]
"""As KIND_GAUGE, the cell holding the bits of a double."""
KIND_LAST: Final[int]
"""Column rolled up as count and last only: counters, states, bit masks."""

CANARY_CODE: Final[int]
"""Code (with vendor_error) of a call's results after it wrote over the canary behind a buffer."""

HISTOGRAM_BUCKETS: Final[int]
"""Buckets of durations, eight per octave up to 2**36 ns; the last one also holds all beyond."""
TRACK_NONE: Final[int]
"""Column whose cells are committed as they are."""
TRACK_GAUGE: Final[int]
"""Column of integers whose sensor's refresh period is measured and whose repeats are marked."""
TRACK_COUNTER: Final[int]
"""As TRACK_GAUGE, for a counter: wraps are added up and drops held back."""

class RingError(Exception):
    """The shared memory is not a ring of this version, or its header is damaged or hostile."""

class LaneState(NamedTuple):
    """What a lane's header says now; every field was checked only for its own range."""

    committed: int
    """Rows or records committed since the ring was made."""
    missed: int
    """Ticks never committed, as counted by the producer."""
    call: int
    """Index of the probe or poll that runs now, -1 when none does."""
    since_ns: int
    """CLOCK_MONOTONIC begin of the row that `call` belongs to, of the call itself where it is one
    of a function's; 0 when none runs."""
    scheduled_ns: int
    """Scheduled time of the newest committed row, 0 before the first."""
    begin_ns: int
    """Begin of the newest committed row, 0 before the first."""
    period_ns: int
    busy_ns: int
    """Time spent inside rows since the lane started."""
    late_ns: int
    """Sum over rows of begin minus scheduled."""
    late_max_ns: int

class Rows(NamedTuple):
    """Rows at full rate, column-major: column c, row r is at index c * n + r."""

    next_position: int
    first_position: int
    overrun: int
    """Rows between the asked position and `first_position`: overwritten or failing their check."""
    n: int
    """Rows returned."""
    scheduled_ns: bytes
    """int64[n], CLOCK_MONOTONIC."""
    begin_ns: bytes
    """int64[n]."""
    duration_ns: bytes
    """uint32[n], saturating."""
    missed: bytes
    """uint32[n]: ticks missed between the row before and this one."""
    values: bytes
    """int64[columns * n]; 0 where a reason stands, vendor code where it is vendor_error."""
    reasons: list[tuple[int, int, int, int]]
    """(column, row, reason, vendor code) for each cell without a value."""
    distinct: bytes
    """uint32[columns]: values in these rows that are no repeats."""

class Windows(NamedTuple):
    """Closed rollup windows, column-major: column c, window w is at index c * n + w."""

    next_position: int
    """First row not in a returned window: the position to ask for next time."""
    overrun: int
    n: int
    """Windows returned."""
    start_ns: bytes
    """int64[n]: start of the window, or the row's own begin where it holds one tick."""
    ticks: bytes
    """uint32[n]: rows in the window."""
    missed: bytes
    """uint32[n]."""
    counts: bytes
    """uint32[columns * n]: distinct readings: values that are no repeats; 1 where all are."""
    last: bytes
    """int64[columns * n]; as min, max and sum: 0 where the count is 0."""
    min: bytes
    max: bytes
    sum: bytes
    """int64[columns * n] over the distinct readings, modulo 2**64, or bits of a double for
    KIND_FLOAT."""
    reasons: list[tuple[int, int, int, int, int]]
    """(column, window, reason, vendor code, readings): one entry per distinct reason and code.

    Beyond 16 entries of a column in a window further vendor codes are counted under code 0.
    """

@final
class Ring:
    """Producer's side of one sealed memfd; see docs/specs/001-ring.md.

    Args:
        lanes: per lane (kind, columns, payload_bytes, slots, period_ns). `columns` counts for
            LANE_COLUMNS, `payload_bytes` for LANE_RECORDS; the other is 0.
    """

    def __init__(self, lanes: Sequence[tuple[int, int, int, int, int]]) -> None: ...
    @property
    def fd(self) -> int: ...
    @property
    def id(self) -> bytes:
        """8 random bytes that name this ring."""
    def commit(
        self,
        lane: int,
        scheduled_ns: int,
        begin_ns: int,
        duration_ns: int,
        missed: int,
        values: Buffer,
        reasons: Buffer,
    ) -> int:
        """Commit one row from Python (int64[columns], uint8[columns]); returns its position.

        A cell with a reason other than vendor_error is stored as 0.

        Raises:
            ValueError: the lane belongs to a Lane or is of the other kind, or a size is wrong.
        """
    def track(self, lane: int, columns: Sequence[tuple[int, int, int]]) -> None:
        """Tell readings of the sensors from rows of the lane, before its first row or Lane.

        From then on a cell that repeats the reading before is marked as such, and a counter's
        cell holds its value extended to 64 bits; statements RING-11 to RING-14.

        Args:
            columns: per column (TRACK_*, bits, refresh_ns): the width of a counter, 8 to 64 (64
                also where it is not known), and the declared refresh period, 0 where nobody says;
                what is measured goes before it.

        Raises:
            ValueError: the lane has rows, a Lane or a tracker already or is of the other kind, or
                a column is out of range.
        """
    def refresh_ns(self, lane: int) -> bytes:
        """int64[columns]: measured refresh period; 0 while unknown or no longer than a row's."""
    def resets(self, lane: int) -> bytes:
        """uint32[columns]: resets of counters that were accepted."""
    def append(self, lane: int, time_ns: int, payload: Buffer) -> int:
        """Commit one opaque record to a LANE_RECORDS lane; returns its position."""
    def enter(self, lane: int, call: int, since_ns: int) -> None:
        """Say in the header which poll runs since when; call -1 says that none does."""
    def close(self) -> None:
        """Unmap and close the descriptor. A running Lane keeps the mapping alive."""

@final
class Gate:
    """One at a time for whatever calls a library that is not thread-safe: lanes and Python.

    Who has waited for a millisecond is next, in the order of coming. A thread that ends inside
    leaves the gate closed.
    """

    def __init__(self) -> None: ...
    def enter(self, timeout_ns: int) -> bool:
        """Wait, without the GIL, until nobody else is inside; False when the time is over.

        Raises:
            RuntimeError: this thread is inside already.
        """
    def leave(self) -> None:
        """Let the next one in.

        Raises:
            RuntimeError: this thread is not inside.
        """

@final
class Lane:
    """One C thread that reads files and calls functions at absolute deadlines into a ring lane.

    Args:
        ring: where rows go; its lane must be LANE_COLUMNS.
        lane: index in the ring.
        period_ns: 10 us to a day.
        probes: files and calls, run in this order. A call is a `Call`, or the same as plain
            tuples; its function, and what its arguments point to, must stay valid for as long as
            the Lane lives, and for ever where `stop` returned False. A file is (path, fields); a
            field is (column, key, index, decimals, sentinels,
            low, high): `key` None counts integers from the start of the file, else from behind
            the first word of the line that equals `key`, to the end of that line; `index` counts
            from 0; `decimals` (0 to 18) shifts a decimal fraction into an integer, cutting off
            further digits; a value in `sentinels` reads as unsupported; one outside [low, high]
            as implausible. A number is [-]digits[.digits] that does not directly follow a letter,
            digit, underscore or point. Numbers to 2**64 - 1 are stored modulo 2**64 as signed,
            and compared as such. A column has at most one field or result; one without reads as
            unsupported. At most the first 64 KiB of a file are looked at.
        fifo_priority: SCHED_FIFO priority, 0 for the default policy.
        gate: entered around each call, not around files. While the lane waits for it the ring's
            header names no call.
        groups: per probe the histogram its durations go to, 0 to 63; empty: 0 for all.

    A failing open or read gives a reason by errno: ENOENT, ENODEV, ENXIO device_lost; EACCES,
    EPERM no_permission; EINVAL, EOPNOTSUPP, ENODATA, ENOTTY unsupported; EAGAIN not_yet;
    ETIMEDOUT timeout; any other vendor_error with the errno as code. No such key, or too few
    numbers: unsupported. A number that no 64-bit integer holds, or in hexadecimal: implausible.
    A path is opened again about once a second while it fails, and when it names another file.

    Arguments of a call are passed in registers; of a narrower one the function reads the low bits.
    Of the return value the low bits are taken, as wide as its type. A call whose code is neither
    success nor known has vendor_error in all results. A function that writes over the canary
    behind a buffer is never called again by this Lane: vendor_error, CANARY_CODE. Integers of 64
    bits are stored modulo 2**64 as signed where no part of the result is of a signed type; else,
    as for sums and products that no cell holds, what leaves the signed range reads as implausible.
    Where a result may be a float or an integer, as with tags, `decimals` apply to either.

    Raises:
        ValueError: the ring is closed, its lane has a Lane already, or an argument is out of range.
            For a call: what cannot be called, with the index of the probe and the result.
    """

    def __init__(
        self,
        ring: Ring,
        lane: int,
        period_ns: int,
        probes: Sequence[
            Call
            | tuple[bytes, Sequence[tuple[int, bytes | None, int, int, Sequence[int], int, int]]]
        ],
        fifo_priority: int = 0,
        gate: Gate | None = None,
        groups: Sequence[int] = (),
    ) -> None: ...
    def start(self, first_ns: int = 0) -> None:
        """Start the thread; rows are due at `first_ns` + k * period.

        With `first_ns` 0 the first row is due at the next multiple of the period, so that lanes
        align. Deadlines that have passed before the first row count as missed.

        Raises:
            RuntimeError: the thread runs already.
            OSError: no thread, or no right to the SCHED_FIFO priority.
        """
    def stop(self, timeout_ns: int) -> bool:
        """Ask the thread to end and join it; False if it is inside a read or call after the time.

        A thread that never comes back keeps its memory, descriptors and gate. A row that waits
        at the gate is given up. After True the lane may be started again.
        """
    def set_period(self, period_ns: int) -> None:
        """Change the period from the next tick on; the ring's header follows.

        The next row is due at the first time of the new grid after now.
        """
    def histograms(self) -> tuple[bytes, bytes, list[bytes]]:
        """(lateness, duration, durations per group) since the Lane was made, at any time.

        Each is uint64[HISTOGRAM_BUCKETS] of counts: how late each row began, how long it took,
        and, per group up to the highest one, how long each read or call took, without the wait
        for the gate. Counts are read one by one while the lane goes on.
        """
    def trampled(self) -> list[int]:
        """Indices of the probes that wrote over a canary and are not called any more."""
    def cpu_ns(self) -> int:
        """CPU time that the lane's thread has used."""

@final
class RingReader:
    """Consumer's side: maps read-only, trusts nothing, copies before it parses.

    Raises:
        RingError: the descriptor is no ring of this version, lies about its size, or is not
            sealed against resizing. Reading methods raise it when the producer's position went
            backwards or jumped by more than 2**40 rows.

    The descriptor is not kept. A batch ends before its limit at about 4 MiB.
    """

    def __init__(self, fd: int) -> None: ...
    @property
    def id(self) -> bytes: ...
    @property
    def pid(self) -> int:
        """Producer's process id, as it wrote it."""
    @property
    def lanes(self) -> tuple[tuple[int, int, int, int], ...]:
        """Per lane (kind, columns, payload_bytes, slots)."""
    def state(self, lane: int) -> LaneState: ...
    def rows(self, lane: int, position: int, limit: int) -> Rows:
        """Rows from `position` on, without a gap between them: a bad one ends the batch."""
    def windows(
        self,
        lane: int,
        position: int,
        width_ns: int,
        close_before_ns: int,
        limit: int,
        kinds: Buffer,
    ) -> Windows:
        """Roll rows from `position` on up into windows of `width_ns` cut by scheduled time.

        The newest window is returned only when its end is at or before `close_before_ns`;
        otherwise `next_position` stays at its first row, so a repeat gives the same windows.
        At most `limit` windows. `kinds` is uint8[columns] of KIND_*. A cell of KIND_FLOAT that is
        not finite counts as implausible.
        """
    def records(
        self, lane: int, position: int, limit: int
    ) -> tuple[int, int, list[tuple[int, bytes]]]:
        """(next_position, overrun, [(time_ns, payload)]) of a LANE_RECORDS lane."""
    def close(self) -> None: ...

def clock() -> tuple[int, int, int, int]:
    """(monotonic_ns, boottime_ns, realtime_ns, error_ns) read together.

    error_ns bounds how far apart the three reads were.
    """

def histogram_bounds() -> bytes:
    """uint64[HISTOGRAM_BUCKETS]: the greatest number of ns that each bucket counts."""

def crc32c(data: Buffer, value: int = 0, /) -> int:
    """CRC-32C (Castagnoli, RFC 3720), continued from `value`."""

def pack(values: Buffer, lengths: Buffer, /) -> bytes:
    """Pack int64 columns laid end to end, uint32 `lengths` giving each one's length.

    Raises:
        ValueError: the lengths do not add up to the number of values.
    """

def unpack(data: Buffer, lengths: Buffer, /) -> bytes:
    """The inverse of `pack`: int64 values laid end to end.

    Raises:
        ValueError: unknown codec, damaged data, data too short or with bytes left over, or more
            than 2**24 values or 1024 values per byte asked for.
    """

def reference_loop(
    paths: Sequence[bytes], period_ns: int, ticks: int, /
) -> tuple[int, int, int, int]:
    """The yardstick of a lane's cost: a plain C loop over the same kind of files.

    Opens the files, then `ticks` times at absolute deadlines reads each and parses its first
    integer, in a thread of its own.

    Returns:
        (cpu_ns of that thread, missed ticks, late_p50_ns, late_p99_ns).
    """

def call_reference_loop(fields: bool, calls: int, period_ns: int, ticks: int, /) -> tuple[int, int]:
    """The yardstick of a call probe's cost: raw calls of `call_targets` and nothing else.

    Args:
        fields: call the function that fills 12 fields, else the one that writes one reading.
        calls: in each tick, one per device; 0 to 96.

    Returns:
        (cpu_ns of that thread, missed ticks).
    """

def call_targets() -> tuple[int, int, tuple[int, ...]]:
    """Functions shaped like those of a vendor's library, for the bench.

    Returns:
        (address of `int32_t read(uint64_t handle, uint32_t kind, uint32_t *value)`,
        address of `int32_t fields(uint64_t handle, int32_t n, struct field *fields)`, handles of
        devices). A struct field is u32 id, u32 scope, i64 time, u32 type (1 u32, 3 u64),
        i32 status and a union of u32, u64 and double: 32 bytes. Even ids are u32, odd ones u64.
    """
