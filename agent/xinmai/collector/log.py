"""The log: accepted batches become durable in groups, at most 100 ms after they came.

Appending and syncing run in one thread of their own; everything else, and every callback, in the
event loop. A batch that could not be written is forgotten: its sender still has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from xinmai.collector.entry import Entry, Identity
from xinmai.collector.logfile import LogFile

log = logging.getLogger(__name__)
T = TypeVar("T")

GROUP_S: Final = 0.05
"""How long a group waits for company before it is synced."""
PENDING_BYTES: Final = 32 * 2**20
"""Accepted and not durable yet; beyond it the broker's messages wait."""
RETRY_S: Final = 1.0


class LogOwner(Protocol):
    """Who is told what the log does; every call comes from the event loop."""

    def durable(self, entries: Sequence[Entry]) -> None:
        """These are on disk, in this order."""

    def failed(self, entries: Sequence[Entry]) -> None:
        """These are not, and will not be tried again."""

    def ended(self) -> None:
        """The segment of all entries since the last call is closed."""

    def must_end(self, log_bytes: int) -> bool:
        """Whether the segment has become long or old enough."""

    def may_write(self) -> bool:
        """False while what is sealed too slowly has to be waited for."""


class Log:
    """Group commit.

    Args:
        number: of the first segment.
        wall_ns: the clock that stamps segments.
    """

    def __init__(
        self, file: LogFile, owner: LogOwner, number: int, wall_ns: Callable[[], int]
    ) -> None:
        self.number = number
        self.error: OSError | None = None
        self._file, self._owner, self._wall_ns = file, owner, wall_ns
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._queue: list[Entry] = []
        self._pending: set[Identity] = set()
        self._pending_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ending: list[asyncio.Future[None]] = []
        self._flushing: list[asyncio.Future[None]] = []
        self._closing = False

    @property
    def bytes(self) -> int:
        """Size of the open segment."""
        return self._file.size

    def waits(self, identity: Identity) -> bool:
        """Whether a batch is accepted and not durable yet."""
        return identity in self._pending

    async def submit(self, entry: Entry) -> None:
        """Queue an entry; waits while too much is queued."""
        await self._room.wait()
        self._queue.append(entry)
        self._pending.add(entry.identity)
        self._pending_bytes += entry.size
        if self._pending_bytes >= PENDING_BYTES:
            self._room.clear()
        self._wake.set()

    async def flush(self) -> None:
        """Write what is queued now; returns when its owner was told what came of it."""
        done = asyncio.get_running_loop().create_future()
        self._flushing.append(done)
        self._wake.set()
        await done

    async def end_segment(self) -> None:
        """End the segment now; returns when its owner was told."""
        done = asyncio.get_running_loop().create_future()
        self._ending.append(done)
        self._wake.set()
        await done

    def tick(self) -> None:
        """Look again whether the segment must end; called once a second."""
        self._wake.set()

    def close(self) -> None:
        """Write what is queued and stop `run`."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Write groups until closed."""
        try:
            while True:
                await self._wake.wait()
                if self._queue and not (self._closing or self._flushing):
                    await asyncio.sleep(GROUP_S)
                self._wake.clear()
                if self._queue and (self._owner.may_write() or self._closing):
                    await self._commit()
                _resolve(self._flushing)
                if self._ending or self._owner.must_end(self._file.size):
                    await self._end()
                if self._closing and not self._queue:
                    return
        finally:
            await self._in_thread(self._file.end)
            self._thread.shutdown(wait=False)

    async def _commit(self) -> None:
        group, self._queue = self._queue, []
        done, error = await self._in_thread(
            lambda: self._file.commit(self.number, self._wall_ns(), group)
        )
        self._pending.difference_update(entry.identity for entry in group)
        self._pending_bytes -= sum(entry.size for entry in group)
        self._room.set()
        self._owner.durable(done)
        lost = group[len(done) :]
        if lost:
            self._owner.failed(lost)
        self._note(error)
        if error is not None and not self._file.writing:
            await self._end()
        if error is not None and not self._closing:
            await asyncio.sleep(RETRY_S)

    async def _end(self) -> None:
        await self._in_thread(self._file.end)
        self._owner.ended()
        self.number += 1
        _resolve(self._ending)

    def _note(self, error: OSError | None) -> None:
        if error is not None and self.error is None:
            log.error("log cannot be written, nothing is confirmed until it can: %s", error)
        if error is None and self.error is not None:
            log.warning("log can be written again")
        self.error = error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _resolve(waiting: list[asyncio.Future[None]]) -> None:
    for done in waiting:
        if not done.done():
            done.set_result(None)
    waiting.clear()
