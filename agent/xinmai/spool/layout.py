"""Bytes of a segment: its header, kept twice, and the header of each record (spec 003)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from xinmai_native import crc32c

VERSION = 1
SUFFIX = ".seg"
MAX_RECORD_BYTES = 16 * 2**20
"""No record is longer: a header that says so is damaged."""

BATCH = 1
INVENTORY = 2
LOSS = 3
"""Payload: losses that this spool has declared and that are not known to be shipped."""
SEAL = 4
"""Last record of a segment that was ended on purpose; seq: the next one of the queue."""
CARRY = 5
"""Meta: that of the newest batch before this segment."""

CLOSED = b"closed"
"""Meta of the SEAL with which a queue may go on after a restart."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """First bytes of a segment.

    Args:
        version: of the format.
        stream: up to 16 ASCII characters.
        owner: instance id of the directory, up to 32 hex digits.
        queue: queue id, 16 hex digits; predecessor: the queue before it, "" for none.
        created_ns: wall time, but never before an older segment of the same directory.
        first_seq: the lowest seq the segment may hold.
    """

    version: int
    stream: str
    owner: str
    queue: str
    predecessor: str
    created_ns: int
    first_seq: int = 1


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Args:
        kind: BATCH, INVENTORY or another of this module.
        seq: of a batch; 0 for an inventory.
        key: the schema id of an inventory, of the batch's inventory for a batch.
        meta: local facts that are not sent (ring positions, readings by minute).
        payload: what is sent.
        offset: of the record in its file, bytes.
        size: of the whole record, bytes.
    """

    kind: int
    seq: int
    key: str
    meta: bytes
    payload: bytes
    offset: int
    size: int


_SEGMENT = struct.Struct("<8sI4xqQ16s32s16s16s12x")
_CRC = struct.Struct("<I")
_MAGIC = b"XMSPOOL\n"
COPY_BYTES = _SEGMENT.size + _CRC.size
HEADER_BYTES = 2 * COPY_BYTES

_HEAD = struct.Struct("<4sI")
_FIELDS = struct.Struct("<IIQIIHB5x")
RECORD_MAGIC = b"XmR\x01"
RECORD_HEADER_BYTES = _HEAD.size + _FIELDS.size

_NAME = re.compile(r"([a-z0-9]{1,16})-(\d{20})-([0-9a-f]{16})-(\d{20})\.seg")


def segment_name(header: SegmentHeader) -> str:
    """File name of a segment; names sort by age, and stand in for a header that is lost."""
    return f"{header.stream}-{header.created_ns:020}-{header.queue}-{header.first_seq:020}{SUFFIX}"


def header_from_name(path: Path) -> SegmentHeader | None:
    """What a segment's name tells of its header: all but owner and predecessor."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    stream, created, queue, first = match.groups()
    return SegmentHeader(VERSION, stream, "", queue, "", int(created), int(first))


def salt_of(header: SegmentHeader) -> int:
    """Seeds the checksums of record headers, so that a record holds in its own segment only.

    Made of what the file name tells too: records stay readable when the header is lost.
    """
    return crc32c(f"{header.queue}-{header.created_ns}".encode())


def pack_header(header: SegmentHeader) -> bytes:
    """The first HEADER_BYTES of a segment.

    Raises:
        ValueError: a field is too long.
    """
    texts = (header.stream, header.owner, header.queue, header.predecessor)
    fields = [text.encode("ascii") for text in texts]
    for text, limit in zip(fields, (16, 32, 16, 16), strict=True):
        if len(text) > limit:
            raise ValueError(f"segment header: {text!r} is longer than {limit} bytes")
    body = _SEGMENT.pack(_MAGIC, header.version, header.created_ns, header.first_seq, *fields)
    return (body + _CRC.pack(crc32c(body))) * 2


def unpack_header(data: bytes) -> SegmentHeader | None:
    """One copy of a header; None when it is damaged or of another version."""
    if len(data) != COPY_BYTES:
        return None
    body = data[: _SEGMENT.size]
    if _CRC.unpack_from(data, _SEGMENT.size)[0] != crc32c(body):
        return None
    magic, version, created_ns, first_seq, *fields = _SEGMENT.unpack(body)
    if magic != _MAGIC or version != VERSION:
        return None
    stream, owner, queue, predecessor = (
        field.rstrip(b"\0").decode("ascii", "replace") for field in fields
    )
    return SegmentHeader(version, stream, owner, queue, predecessor, created_ns, first_seq)


@dataclass(frozen=True, slots=True)
class RecordHead:
    """The fixed part of a record, checked; the two checksums are of what follows it."""

    kind: int
    seq: int
    key_bytes: int
    meta_bytes: int
    payload_bytes: int
    local_crc: int
    payload_crc: int

    @property
    def local_bytes(self) -> int:
        """Bytes of key and meta, which share a checksum."""
        return self.key_bytes + self.meta_bytes

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return RECORD_HEADER_BYTES + self.local_bytes + self.payload_bytes


def pack_record(
    salt: int, offset: int, kind: int, seq: int, key: bytes, meta: bytes, payload: bytes
) -> list[bytes]:
    """A record as buffers for one system call; it holds at this offset of this segment only.

    Raises:
        ValueError: longer than MAX_RECORD_BYTES or a key of more than 65,535 bytes.
    """
    if len(key) > 0xFFFF or len(key) + len(meta) + len(payload) > MAX_RECORD_BYTES:
        raise ValueError(f"record of {len(meta) + len(payload)} bytes is too long for a segment")
    fields = _FIELDS.pack(
        crc32c(meta, crc32c(key)), crc32c(payload), seq, len(payload), len(meta), len(key), kind
    )
    seed = (salt ^ offset) & 0xFFFFFFFF
    head = _HEAD.pack(RECORD_MAGIC, crc32c(fields, seed)) + fields
    return [head, key, meta, payload]


def record_bytes(key: str, meta: bytes, payload: bytes) -> int:
    """Bytes a record takes in a segment."""
    return RECORD_HEADER_BYTES + len(key.encode()) + len(meta) + len(payload)


def unpack_record_head(salt: int, offset: int, data: bytes) -> RecordHead | None:
    """The head of the record at `offset`; None when there is none or it is damaged."""
    if len(data) != RECORD_HEADER_BYTES:
        return None
    magic, crc = _HEAD.unpack_from(data)
    fields = data[_HEAD.size :]
    if magic != RECORD_MAGIC or crc != crc32c(fields, (salt ^ offset) & 0xFFFFFFFF):
        return None
    local_crc, payload_crc, seq, payload_bytes, meta_bytes, key_bytes, kind = _FIELDS.unpack(fields)
    if key_bytes + meta_bytes + payload_bytes > MAX_RECORD_BYTES:
        return None
    return RecordHead(kind, seq, key_bytes, meta_bytes, payload_bytes, local_crc, payload_crc)
