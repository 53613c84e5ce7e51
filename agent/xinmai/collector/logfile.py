"""The log's segments on disk: which there are, writing one, reading one back."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

from xinmai.collector.entry import META, Entry, unpack_entry
from xinmai.collector.files import sync_directory
from xinmai.collector.inventories import Key, Known
from xinmai.errors import Refused, SpoolError
from xinmai.spool.layout import header_from_name
from xinmai.spool.segment import (
    BATCH,
    VERSION,
    Record,
    SegmentHeader,
    SegmentWriter,
    scan,
    segment_name,
)
from xinmai.wire.codec import decode_batch

STREAM: Final = "log"
RESERVE_BYTES: Final = 2**20


class Durable(Protocol):
    """What has to be on disk before a batch that names an inventory is."""

    def persist(self, known: Known) -> None:
        """Make it so; raises OSError."""


def segments(directory: Path) -> list[tuple[int, Path]]:
    """(number, path) of every segment, by number."""
    found: list[tuple[int, Path]] = []
    for path in directory.glob(f"{STREAM}-*"):
        header = header_from_name(path)
        if header is not None and header.stream == STREAM:
            found.append((header.first_seq, path))
    return sorted(found)


class LogFile:
    """The segment being written; every call may block on the disk.

    Args:
        durable: told of each inventory before the first batch that names it.
    """

    def __init__(self, directory: Path, owner: str, durable: Iterable[Durable]) -> None:
        self._directory, self._owner = directory, owner
        self._durable = tuple(durable)
        self._writer: SegmentWriter | None = None
        self._persisted: set[Key] = set()

    @property
    def size(self) -> int:
        """Bytes of the open segment."""
        return self._writer.size if self._writer else 0

    def commit(
        self, number: int, created_ns: int, entries: Iterable[Entry]
    ) -> tuple[list[Entry], OSError | None]:
        """Append entries to segment `number`, made when it is not open, and sync once.

        Returns:
            The entries that are durable now, and what stopped the others. After an error that
            `writing` does not survive the segment must be ended.
        """
        done: list[Entry] = []
        failure: OSError | None = None
        try:
            writer = self._open(number, created_ns)
            for entry in entries:
                self._append(writer, number, entry)
                done.append(entry)
        except OSError as error:
            failure = error
        if done and self._writer is not None:
            try:
                self._writer.sync()
            except OSError as error:
                # What the kernel did with these pages is unknown: they are sent again (E10).
                self.end()
                return [], error
        return done, failure

    def _open(self, number: int, created_ns: int) -> SegmentWriter:
        if self._writer is None:
            queue = secrets.token_hex(8)
            header = SegmentHeader(VERSION, STREAM, self._owner, queue, "", created_ns, number)
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / segment_name(header)
            self._writer = SegmentWriter(path, header, RESERVE_BYTES)
            sync_directory(self._directory)
        return self._writer

    def _append(self, writer: SegmentWriter, number: int, entry: Entry) -> None:
        known = entry.known
        if known is not None and known.key not in self._persisted:
            for durable in self._durable:
                durable.persist(known)
            self._persisted.add(known.key)
        meta = META.pack(entry.arrived_ns)
        writer.append(BATCH, number, entry.batch.schema, meta, entry.payload)

    @property
    def writing(self) -> bool:
        """Whether a segment is open."""
        return self._writer is not None

    def end(self) -> None:
        """Close the segment; the next commit makes another."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def read_entries(path: Path, find: Callable[[Key], Known | None]) -> Iterator[Entry]:
    """Every entry of a segment that can be read; never raises for what the file holds.

    Args:
        find: an inventory by its key.
    """
    try:
        _, records = scan(path)
    except SpoolError:
        return
    for record in records:
        entry = _entry(record, find)
        if entry is not None:
            yield entry


def _entry(record: Record, find: Callable[[Key], Known | None]) -> Entry | None:
    if record.kind != BATCH or len(record.meta) != META.size:
        return None
    try:
        batch = decode_batch(record.payload)
    except Refused:
        return None
    (arrived_ns,) = META.unpack(record.meta)
    known = find((batch.edge, batch.node, batch.schema))
    return unpack_entry(batch, record.payload, arrived_ns, known)
