"""The series table on disk: one JSON line per description, appended before rows name it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from xinmai.collector.files import sync_directory
from xinmai.collector.inventories import Known
from xinmai.collector.registry import SeriesMeta


def read_series(path: Path) -> Iterator[SeriesMeta]:
    """Every description in order; later ones replace earlier ones. Bad lines are passed over."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data.splitlines():
        try:
            yield SeriesMeta.from_line(line)
        except (ValueError, TypeError, KeyError):
            continue


class SeriesFile:
    """Appends what is new. Used by the log's thread alone once it runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = {meta.series_id: hash(meta) for meta in read_series(path)}

    def persist(self, known: Known) -> None:
        """Make an inventory's series durable.

        Raises:
            OSError: they are not; a half-written line is taken back.
        """
        fresh = [meta for meta in known.metas if self._held.get(meta.series_id) != hash(meta)]
        if not fresh:
            return
        self._append(b"".join(meta.to_line() for meta in fresh))
        self._held.update((meta.series_id, hash(meta)) for meta in fresh)

    def _append(self, data: bytes) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            end = _end_of_last_line(descriptor)
            os.ftruncate(descriptor, end)
            try:
                if os.pwrite(descriptor, data, end) != len(data):
                    raise OSError(errno.ENOSPC, f"short write to {self._path}")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
        sync_directory(self._path.parent)


def _end_of_last_line(descriptor: int) -> int:
    """Where to append: behind the last whole line (a crash may have left half of one)."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 65536)
        data = os.pread(descriptor, end - start, start)
        at = data.rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0
