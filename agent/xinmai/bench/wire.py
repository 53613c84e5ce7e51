"""`xinmai bench wire`: bytes and speed of the column codec on traces like those of accelerators.

Bytes are those of whole batches: a ring is filled, drained and encoded as the shipper does it, one
batch a second. pcodec, zstandard and numpy are yardsticks: without them there is no reference.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from xinmai import clock
from xinmai.bench import traces
from xinmai.bench.figures import Bar, Figure, paired
from xinmai.clock import SECOND_NS, Anchor
from xinmai.errors import XinmaiError
from xinmai.shipper.drain import RAW_CELLS_PER_BLOCK
from xinmai.wire.blocks import expand, raw_block
from xinmai.wire.codec import decode_batch, encode_batch
from xinmai.wire.messages import AccountEntry, Batch, Block
from xinmai_native import KIND_GAUGE, LANE_COLUMNS, Ring, RingReader, pack, unpack

SECONDS = 5
SEED = 1
RUNS = 60
PCODEC = "pcodec level 8 on the same columns, one chunk a column and second, no framing"
SHUFFLE = "difference, byte shuffle by column and zstd 1 of the same second, through numpy"
START_NS = 10**15
BARS = {
    "wire_bytes_1khz": Bar("value", True, 1.25),
    "wire_bytes_100hz": Bar("value", True, 1.65),
    "encode": Bar("ratio", False, 1.0),
    "decode": Bar("ratio", False, 1.15),
}


@dataclass(frozen=True, slots=True)
class Trace:
    """Rows of one lane; `columns` all have as many values as `time_ns`."""

    time_ns: array[int]
    late_ns: array[int]
    duration_ns: array[int]
    columns: Sequence[array[int]]

    @property
    def cells(self) -> int:
        """Values of all columns."""
        return len(self.time_ns) * len(self.columns)


def run(pairs: int, tell: Callable[[str], None], path: Path | None = None) -> list[Figure]:
    """Measure the built-in traces, or one from a file.

    Args:
        pairs: how many times each side of a speed is measured.
        tell: progress, one line.
        path: CSV with a header; first column `t_ns`, then integers.

    Raises:
        XinmaiError: the file is no such table.
    """
    if path is not None:
        trace = read_trace(path)
        tell(f"{path}: {len(trace.time_ns)} rows, {len(trace.columns)} columns; checked bit by bit")
        return [_bytes_figure("wire_bytes_trace", trace)]
    figures = []
    for name, rate_hz in (("wire_bytes_1khz", 1000), ("wire_bytes_100hz", 100)):
        tell(f"{name}: {traces.DEVICES} devices x {traces.METRICS} metrics, {SECONDS} s")
        figures.append(_bytes_figure(name, made_trace(rate_hz, SECONDS), BARS[name]))
    tell(f"encode, decode: {pairs} pairs each")
    return figures + _speed_figures(made_trace(1000, 1), pairs)


def made_trace(rate_hz: int, seconds: int) -> Trace:
    """The built-in node on a grid of `rate_hz`."""
    n = rate_hz * seconds
    rng = Random(SEED)
    grid = array("q", [START_NS + row * SECOND_NS // rate_hz for row in range(n)])
    duration = array("q", [int(60_000 * rng.lognormvariate(0, 0.1)) for _ in range(n)])
    columns = list(traces.node(SEED, n, rate_hz))
    return Trace(grid, traces.lateness(rng, n, rate_hz), duration, columns)


def read_trace(path: Path) -> Trace:
    """A trace from CSV.

    Raises:
        XinmaiError: no header, no rows, a cell that is no 64-bit integer, a row of another length.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *rows = csv.reader(file)
            columns = [array("q", map(int, cells)) for cells in zip(*rows, strict=True)]
    except (OSError, ValueError, OverflowError) as error:
        raise XinmaiError(f"cannot read the trace {path}: {error}") from None
    if len(columns) < 2 or len(columns) != len(names) or names[0] != "t_ns":
        raise XinmaiError(f"no trace in {path}: expected a header t_ns,name,... and rows under it")
    nothing = array("q", bytes(8 * len(rows)))
    return Trace(columns[0], nothing, nothing, columns[1:])


def wire_bytes(trace: Trace) -> int:
    """Bytes of the batches that carry a trace, each read back and compared.

    Raises:
        XinmaiError: what came back is not what went in.
    """
    total = first = 0
    for seq, blocks in enumerate(_batches(trace), 1):
        body = encode_batch(_batch(seq, blocks, len(trace.columns)))
        total += len(body)
        for block in decode_batch(body).blocks:
            if not _same(block, trace, first):
                raise XinmaiError(f"row {first} or one behind it came back changed")
            first += block.n
    if first != len(trace.time_ns):
        raise XinmaiError(f"{first} of {len(trace.time_ns)} rows came back")
    return total


def _batches(trace: Trace) -> Iterator[list[Block]]:
    """Blocks of each second, through a ring as the shipper reads it."""
    columns = len(trace.columns)
    limit = max(1, RAW_CELLS_PER_BLOCK // columns)
    for first, end in seconds_of(trace.time_ns):
        ring = Ring([(LANE_COLUMNS, columns, 0, end - first, SECOND_NS)])
        reader = RingReader(ring.fd)
        for row in range(first, end):
            begin_ns = trace.time_ns[row] + trace.late_ns[row]
            cells = array("q", [column[row] for column in trace.columns])
            duration_ns = trace.duration_ns[row]
            ring.commit(0, trace.time_ns[row], begin_ns, duration_ns, 0, cells, bytes(columns))
        blocks = []
        for position in range(0, end - first, limit):
            blocks.append(raw_block(0, reader.rows(0, position, limit), columns))
        yield blocks
        reader.close()
        ring.close()


def seconds_of(time_ns: array[int]) -> Iterator[tuple[int, int]]:
    """(first, end) of the rows of each second from the first row on."""
    first = 0
    for row, at_ns in enumerate(time_ns):
        if (at_ns - time_ns[0]) // SECOND_NS != (time_ns[first] - time_ns[0]) // SECOND_NS:
            yield first, row
            first = row
    if len(time_ns):
        yield first, len(time_ns)


def _batch(seq: int, blocks: Sequence[Block], columns: int) -> Batch:
    taken = sum(block.n for block in blocks) * columns
    return Batch(
        node="node-0001",
        edge="edge-1",
        boot="0" * 32,
        stream="raw",
        queue="0" * 16,
        seq=seq,
        schema="0" * 16,
        clock=Anchor(START_NS, START_NS, 2 * START_NS, 500, True),
        blocks=blocks,
        account=[AccountEntry(2 * START_NS // (60 * SECOND_NS), taken, 0, 0)],
    )


def _same(block: Block, trace: Trace, first: int) -> bool:
    rows = slice(first, first + block.n)
    begins = map(sum, zip(trace.time_ns[rows], trace.late_ns[rows], strict=True))
    cells = expand(block, bytes([KIND_GAUGE]) * len(trace.columns))
    duration = array("q", bytes(8 * block.n))
    if block.duration is not None:
        duration = array("q", unpack(block.duration, array("I", [block.n])))
    return (
        list(cells.window_time_ns) == list(begins)
        and cells.last == _end_to_end([column[rows] for column in trace.columns])
        and duration == trace.duration_ns[rows]
    )


def _bytes_figure(name: str, trace: Trace, bar: Bar | None = None) -> Figure:
    value = wire_bytes(trace) / trace.cells
    reference = _pcodec_bytes(trace)
    return Figure(
        name=name,
        value=value,
        unit="bytes per value, with all framing",
        reference=PCODEC,
        reference_value=None if reference is None else reference / trace.cells,
        ratio=None if reference is None else value * trace.cells / reference,
        bar=bar,
    )


def _optional(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return None


def _pcodec_bytes(trace: Trace) -> int | None:
    pcodec, numpy = _optional("pcodec"), _optional("numpy")
    if pcodec is None or numpy is None:
        return None
    config = pcodec.ChunkConfig(compression_level=8)
    return sum(
        len(pcodec.standalone.simple_compress(numpy.array(column[first:end]), config))
        for first, end in seconds_of(trace.time_ns)
        for column in trace.columns
    )


def _end_to_end(columns: Sequence[array[int]]) -> array[int]:
    return array("q", b"".join(column.tobytes() for column in columns))


def _speed_figures(trace: Trace, pairs: int) -> list[Figure]:
    """One second of all columns, to bytes and back to an array."""
    numpy, zstandard = _optional("numpy"), _optional("zstandard")
    values = _end_to_end(trace.columns)
    lengths = array("I", [len(trace.time_ns)]) * len(trace.columns)
    packed = pack(values, lengths)
    ours: list[Callable[[], object]] = [
        lambda: pack(values, lengths),
        lambda: memoryview(unpack(packed, lengths)).cast("q"),
    ]
    if numpy is None or zstandard is None:
        theirs: list[Callable[[], object]] = []
    else:
        theirs = _shuffled(numpy, zstandard, values, len(trace.columns))
    names = ("encode", "decode")
    return [
        _speed_figure(name, len(values), ours[i], theirs[i] if theirs else None, pairs)
        for i, name in enumerate(names)
    ]


def _speed_figure(
    name: str,
    values: int,
    ours: Callable[[], object],
    theirs: Callable[[], object] | None,
    pairs: int,
) -> Figure:
    unit = "million values per second"
    if theirs is None:
        return Figure(name, _rate(ours, values), unit, SHUFFLE)
    other = theirs
    return paired(
        name,
        unit,
        SHUFFLE,
        lambda: _rate(ours, values),
        lambda: _rate(other, values),
        pairs,
        bar=BARS[name],
    )


def _rate(work: Callable[[], object], values: int) -> float:
    """Million values a second; the best of many runs, as others use the machine too."""
    best_ns = 2**63
    for _ in range(RUNS):
        started_ns = clock.mono_ns()
        work()
        best_ns = min(best_ns, clock.mono_ns() - started_ns)
    return values * 1000 / best_ns


def _shuffled(
    numpy: Any, zstandard: Any, values: array[int], columns: int
) -> list[Callable[[], object]]:
    """Encode and decode of the reference; decoding is checked once."""
    table = numpy.frombuffer(values, dtype=numpy.int64).reshape(columns, -1)
    compressor = zstandard.ZstdCompressor(level=1)
    decompressor = zstandard.ZstdDecompressor()

    def encode() -> Any:
        steps = numpy.empty_like(table)
        steps[:, 0] = table[:, 0]
        numpy.subtract(table[:, 1:], table[:, :-1], out=steps[:, 1:])
        cells = steps.view(numpy.uint8).reshape(columns, -1, 8)
        planes = numpy.ascontiguousarray(cells.transpose(0, 2, 1))
        return compressor.compress(planes)

    packed = encode()

    def decode() -> Any:
        planes = numpy.frombuffer(decompressor.decompress(packed), dtype=numpy.uint8)
        planes = planes.reshape(columns, 8, -1)
        cells = numpy.empty((columns, planes.shape[2], 8), dtype=numpy.uint8)
        for plane in range(8):
            cells[:, :, plane] = planes[:, plane]
        steps = cells.view(numpy.int64)
        return numpy.cumsum(steps.reshape(columns, -1), axis=1)

    if list(chain.from_iterable(decode().tolist())) != list(values):
        raise XinmaiError("the reference does not come back")
    return [encode, decode]
