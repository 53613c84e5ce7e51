"""One segment file: a header, then records, each with length, kind, seq and CRC-32C."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from xinmai.spool import disk
from xinmai.spool.layout import (
    BATCH,
    HEADER_BYTES,
    INVENTORY,
    MAX_RECORD_BYTES,
    SEAL,
    SUFFIX,
    VERSION,
    Record,
    SegmentHeader,
    pack_header,
    pack_record,
    salt_of,
    segment_name,
)
from xinmai.spool.scanning import Damage, Scan, read_meta, read_record, scan

__all__ = [
    "BATCH",
    "INVENTORY",
    "MAX_RECORD_BYTES",
    "SUFFIX",
    "VERSION",
    "Damage",
    "Record",
    "Scan",
    "SegmentHeader",
    "SegmentWriter",
    "read_meta",
    "read_record",
    "scan",
    "segment_name",
]


class SegmentWriter:
    """Appends to one new segment; never reopens an old one for writing.

    Args:
        path: must not exist.
        header: first bytes.
        reserve_bytes: disk space allocated beforehand, where the filesystem can.

    Raises:
        OSError: as the kernel says; no file is left behind.
    """

    def __init__(self, path: Path, header: SegmentHeader, reserve_bytes: int = 0) -> None:
        data = pack_header(header)
        self.path, self.header = path, header
        self._salt = salt_of(header)
        self._size = self._reserved = HEADER_BYTES
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o640)
        try:
            if reserve_bytes > HEADER_BYTES and disk.reserve(self._descriptor, reserve_bytes):
                self._reserved = reserve_bytes
            _write(self._descriptor, [data], len(data), 0)
        except OSError:
            os.close(self._descriptor)
            path.unlink()
            raise

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def allocated(self) -> int:
        """Bytes written or reserved."""
        return max(self._size, self._reserved)

    def append(self, kind: int, seq: int, key: str, meta: bytes, payload: bytes) -> int:
        """Write one record with one system call; returns its offset. A short write is undone.

        Raises:
            OSError: as the kernel says; the segment is as it was before.
            ValueError: longer than MAX_RECORD_BYTES.
        """
        offset = self._size
        buffers = pack_record(self._salt, offset, kind, seq, key.encode(), meta, payload)
        size = sum(map(len, buffers))
        try:
            _write(self._descriptor, buffers, size, offset)
        except OSError:
            self._undo()
            raise
        self._size = offset + size
        return offset

    def _undo(self) -> None:
        self._reserved = self._size
        # Where it fails, the next append starts at this offset all the same.
        with suppress(OSError):
            os.ftruncate(self._descriptor, self._size)

    def sync(self) -> None:
        """Call fdatasync. After an error the segment must be abandoned (E10)."""
        os.fdatasync(self._descriptor)

    def seal(self, next_seq: int, meta: bytes = b"") -> None:
        """Write the last record and give back the reserved space.

        Raises:
            OSError: the segment stays without its last record.
        """
        try:
            self.append(SEAL, next_seq, "", meta, b"")
        finally:
            self._undo()

    def cut(self, size: int) -> int:
        """Close with no more than the header and what was written up to `size`; new size."""
        self._size = max(HEADER_BYTES, min(size, self._size))
        self.close()
        return self._size

    def empty(self) -> None:
        """Free the space of a file that has no name any more; a sync of it may be under way."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Give back the reserved space and close."""
        if self._descriptor < 0:
            return
        self._undo()
        os.close(self._descriptor)
        self._descriptor = -1


def _write(descriptor: int, buffers: list[bytes], size: int, offset: int) -> None:
    written = os.pwritev(descriptor, buffers, offset)
    if written != size:
        raise OSError(errno.ENOSPC, f"short write, {written} of {size} bytes")
