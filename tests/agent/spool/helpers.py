"""Small spools whose payloads say their own identity."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xinmai.spool.segment import SegmentHeader, SegmentWriter, segment_name
from xinmai.spool.spool import Spool
from xinmai.wire.messages import Loss, Stream

SCHEMA = "5c4e3a0000000001"
Identity = tuple[str, int]
HEADER = SegmentHeader(1, "rollup", "0" * 31 + "1", "a" * 16, "", 1_700_000_000_000_000_000)


def open_spool(
    directory: Path,
    *,
    stream: Stream = "rollup",
    budget_bytes: int = 2**20,
    segment_bytes: int = 2**16,
) -> Spool:
    spool = Spool(
        directory,
        stream,
        budget_bytes=budget_bytes,
        segment_bytes=segment_bytes,
        floor_bytes=0,
    )
    spool.put_inventory(SCHEMA, b"inventory")
    return spool


@contextmanager
def opened(
    directory: Path, *, budget_bytes: int = 2**20, segment_bytes: int = 2**16
) -> Iterator[Spool]:
    spool = open_spool(directory, budget_bytes=budget_bytes, segment_bytes=segment_bytes)
    try:
        yield spool
    finally:
        spool.close()


def put(spool: Spool, size: int = 16, minute: int = 7, readings: int = 10) -> Identity:
    """Append one record; its meta is `m<seq>`."""
    queue, seq = spool.next_identity()
    identity = spool.append(
        payload_of(queue, seq, size),
        schema=SCHEMA,
        meta=b"m%d" % seq,
        readings=[(minute, readings)],
    )
    assert identity == (queue, seq)
    return identity


def fill(spool: Spool, count: int, size: int = 16) -> list[Identity]:
    return [put(spool, size) for _ in range(count)]


def payload_of(queue: str, seq: int, size: int = 16) -> bytes:
    return f"{queue}:{seq}:".encode().ljust(size, b".")


def held(spool: Spool) -> list[Identity]:
    """Identities that can be sent; each payload must say its own."""
    found = []
    for queue, seq, size in list(spool.unstored()):
        record = spool.read(queue, seq)
        if record is not None:
            assert record.payload == payload_of(queue, seq, size)
            found.append((queue, seq))
    return found


def covered(losses: list[Loss]) -> set[Identity]:
    return {(loss.queue, seq) for loss in losses for seq in range(loss.first, loss.last + 1)}


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.seg"))


def killed(directory: Path, name: str = "killed") -> Path:
    """The directory as a process killed now would leave it."""
    copy = directory.with_name(name)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(directory, copy)
    return copy


def write_segment(
    directory: Path, payloads: list[bytes], header: SegmentHeader = HEADER
) -> tuple[Path, list[int]]:
    """A segment of batches from seq 1 on, and the offset of each."""
    path = directory / segment_name(header)
    writer = SegmentWriter(path, header)
    offsets = [
        writer.append(1, seq, SCHEMA, b"meta%d" % seq, payload)
        for seq, payload in enumerate(payloads, 1)
    ]
    writer.close()
    return path, offsets
