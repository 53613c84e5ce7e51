"""Reading segments: every intact record is found, whatever stands between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from xinmai.errors import SpoolError
from xinmai.spool.layout import (
    COPY_BYTES,
    HEADER_BYTES,
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    Record,
    RecordHead,
    SegmentHeader,
    header_from_name,
    salt_of,
    unpack_header,
    unpack_record_head,
)
from xinmai_native import crc32c

_BUFFER_BYTES = 256 * 1024
_SEARCH_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of bytes that is neither header nor record.

    Args:
        offset: its first byte; end: the byte behind it.
        head: of the record that stood here, None when unknown.
        meta: of that record, None when it is damaged as well.
    """

    offset: int
    end: int
    head: RecordHead | None = None
    meta: bytes | None = None


@dataclass(slots=True)
class Scan:
    """What is known of a segment; grows while its records are read.

    Args:
        header: from either copy, else from the file name.
        file_bytes: size when the scan began.
        good_bytes: end of what was read before the first bad byte.
        damages: in order of offset.
    """

    header: SegmentHeader
    file_bytes: int
    good_bytes: int = 0
    damages: list[Damage] = field(default_factory=list)

    @property
    def damaged(self) -> bool:
        """Whether bytes were found that are no record; final when all records were read."""
        return bool(self.damages)


def scan(path: Path) -> tuple[Scan, Iterator[Record]]:
    """Read a segment; bad stretches are skipped and listed in the scan. One record is in memory.

    Raises:
        SpoolError: neither a header nor the file's name says what this is.
    """
    try:
        with path.open("rb", buffering=0) as file:
            file_bytes = os.fstat(file.fileno()).st_size
            data = _pread(file.fileno(), HEADER_BYTES, 0)
    except OSError as error:
        raise SpoolError(f"cannot read segment {path}: {error}") from error
    header, intact = _header(path, data)
    found = Scan(header, file_bytes)
    if intact:
        found.good_bytes = HEADER_BYTES
    else:
        found.damages.append(Damage(0, min(HEADER_BYTES, file_bytes)))
    return found, _records(path, found)


def read_record(path: Path, offset: int, header: SegmentHeader | None = None) -> Record:
    """Read one record back, checked. With `header` given the file's own is not looked at.

    Raises:
        SpoolError: damaged or gone; an OSError is its cause.
    """
    head, data = _read_at(path, offset, header, payload=True)
    key, meta, payload = _split(head, data)
    if crc32c(key + meta) != head.local_crc or crc32c(payload) != head.payload_crc:
        raise SpoolError(f"record at {offset} in {path} is damaged")
    return _record(head, key, meta, payload, offset)


def read_meta(path: Path, offset: int, header: SegmentHeader) -> bytes:
    """Only the meta of a record, whatever became of its payload; raises SpoolError."""
    head, data = _read_at(path, offset, header, payload=False)
    if crc32c(data) != head.local_crc:
        raise SpoolError(f"meta of record at {offset} in {path} is damaged")
    return data[head.key_bytes :]


def _read_at(
    path: Path, offset: int, header: SegmentHeader | None, *, payload: bool
) -> tuple[RecordHead, bytes]:
    try:
        with path.open("rb", buffering=0) as file:
            number = file.fileno()
            known = header or _header(path, _pread(number, HEADER_BYTES, 0))[0]
            start = _pread(number, RECORD_HEADER_BYTES, offset)
            head = unpack_record_head(salt_of(known), offset, start)
            if head is None:
                raise SpoolError(f"no record at {offset} in {path}")
            size = head.size - RECORD_HEADER_BYTES if payload else head.local_bytes
            return head, _pread(number, size, offset + RECORD_HEADER_BYTES)
    except OSError as error:
        raise SpoolError(f"cannot read segment {path}: {error}") from error


def _header(path: Path, data: bytes) -> tuple[SegmentHeader, bool]:
    first = unpack_header(data[:COPY_BYTES])
    second = unpack_header(data[COPY_BYTES:])
    header = first or second or header_from_name(path)
    if header is None:
        raise SpoolError(f"{path} is no segment of this version")
    return header, first is not None and first == second


def _records(path: Path, found: Scan) -> Iterator[Record]:
    salt = salt_of(found.header)
    offset = HEADER_BYTES
    try:
        with path.open("rb", buffering=_BUFFER_BYTES) as file:
            while offset < found.file_bytes:
                item = _next(file, salt, offset, found.file_bytes)
                if isinstance(item, Damage):
                    found.damages.append(item)
                    offset = item.end
                    continue
                offset += item.size
                if not found.damages:
                    found.good_bytes = offset
                yield item
    except OSError:
        # A bad sector, or the file is gone: what follows cannot be read.
        found.damages.append(Damage(offset, found.file_bytes))


def _next(file: BinaryIO, salt: int, offset: int, end: int) -> Record | Damage:
    if file.tell() != offset:
        file.seek(offset)
    head = unpack_record_head(salt, offset, file.read(min(RECORD_HEADER_BYTES, end - offset)))
    if head is None:
        return Damage(offset, _find_record(file, salt, offset + 1, end))
    key, meta, payload = _split(head, file.read(min(head.size, end - offset) - RECORD_HEADER_BYTES))
    local_fits = crc32c(key + meta) == head.local_crc and len(key) + len(meta) == head.local_bytes
    if local_fits and len(payload) == head.payload_bytes and crc32c(payload) == head.payload_crc:
        return _record(head, key, meta, payload, offset)
    return Damage(offset, min(offset + head.size, end), head, meta if local_fits else None)


def _find_record(file: BinaryIO, salt: int, start: int, end: int) -> int:
    """Offset of the next intact record head, `end` when there is none."""
    number = file.fileno()
    for base in range(start, end, _SEARCH_BYTES):
        window = _pread(number, min(_SEARCH_BYTES + RECORD_HEADER_BYTES, end - base), base)
        hit = window.find(RECORD_MAGIC)
        while 0 <= hit < _SEARCH_BYTES:
            data = window[hit : hit + RECORD_HEADER_BYTES]
            if unpack_record_head(salt, base + hit, data) is not None:
                return base + hit
            hit = window.find(RECORD_MAGIC, hit + 1)
    return end


def _split(head: RecordHead, data: bytes) -> tuple[bytes, bytes, bytes]:
    local = head.local_bytes
    return data[: head.key_bytes], data[head.key_bytes : local], data[local:]


def _record(head: RecordHead, key: bytes, meta: bytes, payload: bytes, offset: int) -> Record:
    return Record(
        head.kind, head.seq, key.decode("utf-8", "replace"), meta, payload, offset, head.size
    )


def _pread(number: int, size: int, offset: int) -> bytes:
    """`pread` until the size or the end of the file."""
    data = os.pread(number, size, offset)
    while len(data) < size:
        more = os.pread(number, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
