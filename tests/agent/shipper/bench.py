"""A sender with real spools against any broker, and what a collector says to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.shipper.rig import IDENTITY
from fakes.fakebroker import FakeBroker
from fakes.packets import Publish
from xinmai.config import ShipperConfig
from xinmai.shipper.commands import Commands
from xinmai.shipper.retained import Retained
from xinmai.shipper.sender import Sender
from xinmai.spool.spools import SpoolSet
from xinmai.transport import Backoff, BrokerAddress, Protocol
from xinmai.wire.codec import encode_stored
from xinmai.wire.messages import Ranges, Stored, Stream
from xinmai.wire.topics import Topics

TOPICS = Topics(IDENTITY.edge, IDENTITY.node)
CLIENT = f"xinmai-{IDENTITY.node}"
SCHEMA = "00000000000000aa"
WAIT_S = 10.0


async def eventually(look: Callable[[], bool], what: str) -> None:
    """Wait until something is so; fails by saying what was waited for."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not look():  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited {WAIT_S:g} s for {what}") from None


class Bench:
    """An async context manager; inside it the sender runs."""

    def __init__(
        self,
        directory: Path,
        url: str,
        config: ShipperConfig | None = None,
        *,
        protocol: Protocol | None = "5",
        schemas: Callable[[], set[str]] = set,
        retained: Path | None = None,
        commands: Commands | None = None,
    ) -> None:
        self.now_s = 1000.0
        self.session = 0
        self.spools = SpoolSet(directory, floor_bytes=0)
        for spool in self.spools:
            spool.put_inventory(SCHEMA, b"the inventory")
        self.sender = Sender(
            IDENTITY,
            BrokerAddress(url, protocol=protocol or "auto"),
            config or ShipperConfig(),
            self.spools,
            self.next_session,
            schemas=schemas,
            retained=Retained(retained),
            commands=commands,
            backoff=Backoff(0.005, 0.02, 0.005, source=random.Random(1)),
            now_s=lambda: self.now_s,
        )
        self.task: asyncio.Task[None] | None = None

    def next_session(self) -> int:
        self.session += 1
        return self.session

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.sender.run(), name="sender")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.task is not None
        try:
            if error is None:
                await self.leave()
        finally:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.spools.close()

    async def leave(self) -> None:
        """End the sender in good order."""
        assert self.task is not None
        self.sender.leave()
        await asyncio.wait_for(self.task, WAIT_S)

    def put(
        self, count: int = 1, stream: Stream = "rollup", size: int = 40, schema: str = SCHEMA
    ) -> None:
        """Append records whose payload says their stream and seq."""
        for _ in range(count):
            _, seq = self.spools[stream].next_identity()
            payload = f"{stream} {seq}".encode().ljust(size, b".")
            self.spools[stream].append(payload, schema=schema)
        self.sender.wake()

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.sender.wake()

    def queue(self, stream: Stream = "rollup") -> str:
        return self.spools[stream].next_identity()[0]

    def stored(
        self, *ranges: tuple[int, int], stream: Stream = "rollup", session: int = 1
    ) -> bytes:
        """The body by which a collector says so."""
        held: dict[Stream, dict[str, Ranges]] = {stream: {self.queue(stream): ranges}}
        return encode_stored(Stored(IDENTITY.node, IDENTITY.edge, "c1", session, held))

    async def connected(self) -> None:
        await eventually(lambda: self.sender.state.connected, "a connection")

    async def delivered(self) -> None:
        await eventually(lambda: self.sender.outbox.delivered, "delivery")

    async def acked(self, messages: int) -> None:
        await eventually(lambda: self.sender.state.messages >= messages, "acknowledgements")


def data(published: list[Publish]) -> list[str]:
    """Stream and seq of each batch, in order of arrival."""
    topics = (TOPICS.batch, TOPICS.event)
    return [one.payload.decode().rstrip(".") for one in published if one.topic in topics]


def names(*seqs: int, stream: Stream = "rollup") -> list[str]:
    return [f"{stream} {seq}" for seq in seqs]


async def arrived(broker: FakeBroker, count: int) -> list[str]:
    """Wait for so many batches."""
    await eventually(lambda: len(data(broker.published)) >= count, f"{count} batches")
    return data(broker.published)
