"""A collector without broker and HTTP: messages go in by hand, the clock is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.collector.node import START_NS, Message
from xinmai.clock import SECOND_NS
from xinmai.collector.core import Core
from xinmai.collector.engine import engine, select
from xinmai.collector.ingest import Ingest
from xinmai.collector.log import Log
from xinmai.collector.logfile import LogFile
from xinmai.collector.seriesfile import SeriesFile
from xinmai.config import CollectorConfig


class Clock:
    """Wall and steady time that move when told."""

    def __init__(self) -> None:
        self.now_ns = START_NS + 100 * SECOND_NS

    def wall_ns(self) -> int:
        return self.now_ns

    def mono_s(self) -> float:
        return self.now_ns / SECOND_NS

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND_NS)


class Rig:
    """Core, log and ingest of one run on one store."""

    def __init__(self, config: CollectorConfig, clock: Clock) -> None:
        self.clock = clock
        self.core = Core(config, "c0" * 8, 7, wall_ns=clock.wall_ns, mono_s=clock.mono_s)
        number = self.core.open()
        durable = (self.core.state.inventories, SeriesFile(self.core.layout.series))
        self.file = LogFile(self.core.layout.log, self.core.collector, durable)
        self.log = Log(self.file, self.core, number, clock.wall_ns)
        self.core.log = self.log
        self.ingest = Ingest(self.core, self.log)

    async def take(self, *messages: Message) -> None:
        """Feed messages and wait until they are durable or refused."""
        for topic, payload in messages:
            await self.ingest.take(topic, payload)
        await self.log.flush()

    async def seal(self) -> None:
        """End the log segment and seal everything that is closed."""
        await self.log.end_segment()
        while self.core.state.closed:
            assert await self.core.seal_next()

    def select(self, sql: str) -> list[dict[str, Any]]:
        with engine(self.core.snapshot(), threads=1) as connection:
            return select(connection, sql)

    def stored(self, edge: str = "local", node: str = "n1") -> dict[str, Any]:
        """What `stored` says of a node."""
        ledger = self.core.state.ledger.find(edge, node)
        streams = ledger.stored().items() if ledger else ()
        return {str(stream): queues for stream, queues in streams}

    def refused(self) -> dict[str, int]:
        """Refusals by reason."""
        counts: dict[str, int] = {}
        for (_, _, reason), n in self.core.counters.refused.items():
            counts[reason] = counts.get(reason, 0) + n
        return counts


@asynccontextmanager
async def running(
    store_dir: Path, clock: Clock | None = None, **options: Any
) -> AsyncIterator[Rig]:
    """A rig whose log runs; leaving it is as abrupt as a kill, but for open descriptors."""
    rig = Rig(CollectorConfig(store_dir=store_dir, **options), clock or Clock())
    task = asyncio.create_task(rig.log.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        rig.ingest.close()
        await rig.core.close()
