"""One segment file: a header, then records, each with length, kind, seq and CRC-32C."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BATCH = 1
INVENTORY = 2


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """First bytes of a segment.

    Args:
        owner: instance id of the directory, hex.
        queue: queue id, 16 hex digits; predecessor: the queue before it, "" for none.
    """

    version: int
    stream: str
    owner: str
    queue: str
    predecessor: str
    created_ns: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Args:
        kind: BATCH or INVENTORY.
        seq: of a batch; 0 for an inventory.
        key: the schema id of an inventory, of the batch's inventory for a batch.
        meta: local facts that are not sent (ring positions, readings by minute).
    """

    kind: int
    seq: int
    key: str
    meta: bytes
    payload: bytes
    offset: int
    size: int


class SegmentWriter:
    """Appends to one new segment; never reopens an old one for writing."""

    def __init__(self, path: Path, header: SegmentHeader, reserve_bytes: int = 0) -> None:
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Bytes written so far."""
        raise NotImplementedError

    def append(self, kind: int, seq: int, key: str, meta: bytes, payload: bytes) -> int:
        """Write one record with one system call; returns its offset. A short write is undone.

        Raises:
            OSError: as the kernel says; the segment is as it was before.
        """
        raise NotImplementedError

    def sync(self) -> None:
        """fdatasync. After an error the segment must be abandoned (E10)."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back the reserved space and close."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment holds up to its first bad byte."""

    header: SegmentHeader
    good_bytes: int
    file_bytes: int

    @property
    def damaged(self) -> bool:
        """Whether bytes other than reserved zeros follow the last good record."""
        raise NotImplementedError


def scan(path: Path) -> tuple[Scan, Iterator[Record]]:
    """Read a segment, stopping at the first bad byte.

    Raises:
        SpoolError: not even the header can be read.
    """
    raise NotImplementedError


def read_record(path: Path, offset: int) -> Record:
    """Read one record back, checked.

    Raises:
        SpoolError: damaged or gone.
    """
    raise NotImplementedError
