"""The spools of an agent, one per stream: one directory, owner and disk, with priorities."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from xinmai.errors import SpoolError
from xinmai.spool import disk
from xinmai.spool.layout import SUFFIX
from xinmai.spool.segment import scan
from xinmai.spool.spool import Spool, SpoolState
from xinmai.wire.messages import STREAMS, Loss, Stream
from xinmai_native import crc32c

BUDGET_BYTES = 2**30
SHARES: Mapping[Stream, int] = {"event": 10, "rollup": 50, "capture": 15, "raw": 25}
"""Percent of the budget."""

_SEGMENT_BYTES = 8 * 2**20
_LEAST_SEGMENT_BYTES = 64 * 1024


class SpoolSet:
    """Opens `event/`, `rollup/`, `capture/` and `raw/` under one directory.

    A loss of any stream is taken here and shipped by the caller in a batch of stream event; it is
    forgotten by its own spool once that batch is durable.

    Args:
        directory: made when missing; locked, and named by an instance id in the file `instance`.
        budget_bytes: shared out by SHARES.
        floor_bytes: left free on the filesystem; None: 64 MiB or 5 %, whichever is less.

    Raises:
        SpoolError: another process owns the directory, or it cannot be written at all.
    """

    def __init__(
        self,
        directory: Path,
        *,
        budget_bytes: int = BUDGET_BYTES,
        floor_bytes: int | None = None,
    ) -> None:
        self._directory_lock = disk.DirectoryLock(directory)
        self._spools: dict[Stream, Spool] = {}
        lock = threading.RLock()
        try:
            owner = _instance_id(directory)
            for stream in STREAMS:
                budget = budget_bytes * SHARES[stream] // 100
                self._spools[stream] = Spool(
                    directory / stream,
                    stream,
                    budget_bytes=budget,
                    segment_bytes=min(_SEGMENT_BYTES, max(budget // 16, _LEAST_SEGMENT_BYTES)),
                    floor_bytes=floor_bytes,
                    owner=owner,
                    lock=lock,
                    make_room=self._make_room,
                )
        except SpoolError:
            self.close()
            raise
        underway = self["event"].carried()
        for spool in self:
            spool.note_declared(underway)

    def __getitem__(self, stream: Stream) -> Spool:
        return self._spools[stream]

    def __iter__(self) -> Iterator[Spool]:
        """In order of priority."""
        return iter(self._spools.values())

    def take_losses(self) -> list[Loss]:
        """Losses of all streams not given out yet: for `append(..., losses=...)` of event."""
        return [loss for spool in self for loss in spool.take_losses()]

    def sync(self) -> None:
        """Make everything durable; may run in a worker thread.

        Event comes last: a loss in it must not become durable before its own stream knows it.

        Raises:
            OSError: the first that a spool met; the others were synced all the same.
        """
        failed: OSError | None = None
        for stream in reversed(STREAMS):
            try:
                self[stream].sync()
            except OSError as error:
                failed = failed or error
        shipped = self["event"].take_shipped()
        for stream, spool in self._spools.items():
            spool.forget_losses([loss for loss in shipped if loss.stream == stream])
        if failed is not None:
            raise failed

    def state(self) -> list[SpoolState]:
        """Of each spool."""
        return [spool.state() for spool in self]

    def close(self) -> None:
        """Sync, seal and unlock."""
        for spool in self:
            spool.close()
        self._directory_lock.release()

    def _make_room(self) -> int:
        """What is not needed goes first, then the oldest of raw, capture, rollup, event."""
        freed = sum(spool.purge() for spool in self)
        for stream in reversed(STREAMS):
            if not freed and stream in self._spools:
                freed = self._spools[stream].drop_oldest()
        return freed


def _instance_id(directory: Path) -> str:
    """From its file, else from a segment, else new; a full disk only delays the file."""
    path = directory / "instance"
    with suppress(OSError, ValueError):
        name, crc = path.read_text("ascii").split()
        if int(crc, 16) == crc32c(name.encode()):
            return name
    name = _owner_of_segments(directory) or disk.new_instance_id()
    temporary = directory / f"instance.{secrets.token_hex(4)}.tmp"
    with suppress(OSError):
        temporary.write_text(f"{name} {crc32c(name.encode()):08x}\n", "ascii")
        temporary.replace(path)
        disk.sync_directory(directory)
    with suppress(OSError):
        temporary.unlink(missing_ok=True)
    return name


def _owner_of_segments(directory: Path) -> str:
    for stream in STREAMS:
        with suppress(OSError):
            for path in sorted((directory / stream).glob(f"*{SUFFIX}"), reverse=True):
                with suppress(SpoolError):
                    if owner := scan(path)[0].header.owner:
                        return owner
    return ""
