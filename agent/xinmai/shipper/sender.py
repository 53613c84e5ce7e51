"""From spool to broker: two windows, resend by what the collector says it holds (design: delivery).

A PUBACK means that the broker has a message, nothing more. What frees the spool is `stored`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from xinmai import clock
from xinmai.config import ShipperConfig
from xinmai.errors import BrokerRefused, Refused, TransportError
from xinmai.shipper.identity import Identity
from xinmai.spool.spools import SpoolSet
from xinmai.transport import Backoff, BrokerAddress, Message, Transport, Will
from xinmai.wire.codec import decode_stored, encode_status
from xinmai.wire.messages import STREAMS, Ranges, Status, Stored, Stream
from xinmai.wire.topics import Topics

RESEND_AFTER_S = 5.0
STABLE_S = 60.0
PAUSE_AFTER_REFUSAL_S = 5.0
PACKET_TOO_LARGE = 149

log = logging.getLogger("xinmai.shipper")

Key = tuple[Stream, str, int]


@dataclass(slots=True)
class SendState:
    """For `status` and self-metrics."""

    connected: bool = False
    protocol: str = ""
    url: str = ""
    connects: int = 0
    messages: int = 0
    bytes: int = 0
    resent: int = 0
    refused: int = 0
    unstored_bytes: int = 0
    collector: str = ""
    error: str = ""


@dataclass(slots=True)
class _Sent:
    size: int
    acked: bool = False


@dataclass(slots=True)
class _Session:
    """What belongs to one connection and ends with it."""

    transport: Transport
    announced: set[str] = field(default_factory=set)
    flying: set[asyncio.Task[None]] = field(default_factory=set)


class Sender:
    """Owns the connection; told of new records by `wake`."""

    def __init__(
        self,
        identity: Identity,
        address: BrokerAddress,
        config: ShipperConfig,
        spools: SpoolSet,
        next_session: Callable[[], int],
        *,
        backoff: Backoff | None = None,
    ) -> None:
        self._identity, self._address, self._config = identity, address, config
        self._spools = spools
        self._next_session = next_session
        self._topics = Topics(identity.edge, identity.node)
        self._backoff = backoff or Backoff()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._sent: dict[Key, _Sent] = {}
        self._cursor: dict[Stream, tuple[str, int]] = {stream: ("", 0) for stream in STREAMS}
        self._collector: tuple[str, int] | None = None
        self._progress_s = 0.0
        self._resend_s = RESEND_AFTER_S
        self._session_number = 0
        self._leaving = False
        self.state = SendState(url=address.url)

    def wake(self) -> None:
        """There may be something new to send."""
        self._wake.set()

    async def run(self) -> None:
        """Connect, send, and come back, until `leave`."""
        while not self._leaving:
            try:
                await self._connect_and_send()
            except TransportError as error:
                self._note_loss(str(error))
                await asyncio.sleep(self._backoff.delay_s())

    def leave(self) -> None:
        """Say goodbye and end `run`, connected or not."""
        self._leaving = True
        self._wake.set()

    def _note_loss(self, why: str) -> None:
        if self.state.connected or not self.state.error:
            log.warning("broker away: url=%s error=%s", self._address.url, why)
        self.state.connected = False
        self.state.error = why

    async def _connect_and_send(self) -> None:
        self._session_number = self._next_session()
        will = Will(self._topics.status, encode_status(self._status(online=False)))
        client_id = f"xinmai-{self._identity.node}"
        async with Transport(self._address, client_id, will=will) as transport:
            self._note_connected(transport)
            session = _Session(transport)
            await transport.publish(
                self._topics.status, encode_status(self._status(online=True)), retain=True
            )
            await transport.subscribe([self._topics.stored])
            started_s = self._now_s()
            self._start_over()
            try:
                await self._serve(session)
            finally:
                self.state.connected = False
                if self._now_s() - started_s > STABLE_S:
                    self._backoff.stable()
                await _cancel(session.flying)

    def _note_connected(self, transport: Transport) -> None:
        log.info("broker connected: url=%s mqtt=%s", self._address.url, transport.protocol)
        self.state.connected, self.state.error = True, ""
        self.state.protocol = transport.protocol
        self.state.connects += 1

    async def _serve(self, session: _Session) -> None:
        """Until one of the two ends: by `leave`, or by the connection's end."""
        tasks = {
            asyncio.create_task(self._listen(session), name="shipper-stored"),
            asyncio.create_task(self._send_loop(session), name="shipper-send"),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(tasks)
        for task in done:
            task.result()

    async def _listen(self, session: _Session) -> None:
        async for message in session.transport.messages():
            self._take_stored(message)

    async def _send_loop(self, session: _Session) -> None:
        while not self._leaving:
            self._wake.clear()
            self._resend_if_due()
            await self._send_ready(session)
            if self._is_delivered():
                self._idle.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._wait_s())
        await session.transport.publish(
            self._topics.status, encode_status(self._status(online=False)), retain=True
        )

    def _wait_s(self) -> float | None:
        return self._resend_s if self._sent else None

    async def _send_ready(self, session: _Session) -> None:
        limit = min(self._config.in_flight, session.transport.receive_maximum)
        for key, size in self._ready():
            if self.state.unstored_bytes + size > self._config.unstored_bytes and self._sent:
                return
            while len(session.flying) >= limit:
                await asyncio.wait(session.flying, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failed(session)
            await self._send_one(session, key, size)
        self._raise_failed(session)

    def _raise_failed(self, session: _Session) -> None:
        for task in [task for task in session.flying if task.done()]:
            session.flying.discard(task)
            task.result()

    def _ready(self) -> Iterator[tuple[Key, int]]:
        """Records not sent in this connection, by priority of streams, oldest first."""
        for stream in STREAMS:
            queue, after = self._cursor[stream]
            for queue_id, seq, size in self._spools[stream].unstored(queue, after):
                if (stream, queue_id, seq) not in self._sent:
                    yield (stream, queue_id, seq), size

    async def _send_one(self, session: _Session, key: Key, size: int) -> None:
        stream, queue, seq = key
        self._cursor[stream] = (queue, seq)
        record = self._spools[stream].read(queue, seq)
        if record is None:
            return
        if record.key and record.key not in session.announced:
            await self._announce(session, stream, record.key)
        self._sent[key] = _Sent(size)
        self.state.unstored_bytes += size
        task = asyncio.create_task(
            self._publish(session.transport, key, record.payload), name=f"publish-{stream}-{seq}"
        )
        session.flying.add(task)
        task.add_done_callback(lambda _: self._wake.set())

    async def _announce(self, session: _Session, stream: Stream, schema: str) -> None:
        payload = self._spools[stream].inventory(schema)
        if payload is not None:
            await session.transport.publish(self._topics.inventory(schema), payload, retain=True)
        session.announced.add(schema)

    async def _publish(self, transport: Transport, key: Key, payload: bytes) -> None:
        stream, queue, seq = key
        topic = self._topics.event if stream == "event" else self._topics.batch
        try:
            await transport.publish(topic, payload)
        except BrokerRefused as refusal:
            await self._refused(key, refusal)
            return
        self.state.messages += 1
        self.state.bytes += len(payload)
        if self._config.confirm == "puback":
            self._mark(stream, queue, [(seq, seq)])
        elif key in self._sent:
            self._sent[key].acked = True

    async def _refused(self, key: Key, refusal: BrokerRefused) -> None:
        """Too large will never fit: set aside. Anything else may be allowed later: keep it."""
        stream, queue, seq = key
        self.state.refused += 1
        if refusal.code == PACKET_TOO_LARGE:
            log.error("batch refused for good: stream=%s seq=%d %s", stream, seq, refusal)
            self._spools[stream].discard(queue, seq, seq, "refused")
            self._drop_sent(key)
            return
        if self.state.error != str(refusal):
            log.error("broker refuses: stream=%s %s", stream, refusal)
        self.state.error = str(refusal)
        await asyncio.sleep(PAUSE_AFTER_REFUSAL_S)
        self._drop_sent(key)
        self._cursor[stream] = ("", 0)

    def _take_stored(self, message: Message) -> None:
        try:
            stored = decode_stored(message.payload)
        except Refused as error:
            log.warning("stored refused: %s", error)
            return
        if stored.node != self._identity.node or stored.edge != self._identity.edge:
            return
        collector = (stored.collector, stored.session)
        if self._collector is not None and collector != self._collector:
            log.info("collector changed: collector=%s, sending again", stored.collector)
            self._forget_acked()
        self._collector = collector
        self.state.collector = stored.collector
        self._apply(stored)
        self._wake.set()

    def _apply(self, stored: Stored) -> None:
        before = len(self._sent)
        for stream, queues in stored.streams.items():
            for queue, ranges in queues.items():
                self._mark(stream, queue, ranges)
                self._resend_gaps(stream, queue, ranges)
        if len(self._sent) < before:
            self._progress_s = self._now_s()
            self._resend_s = RESEND_AFTER_S

    def _mark(self, stream: Stream, queue: str, ranges: Ranges) -> None:
        self._spools[stream].mark_stored(queue, ranges)
        for key in [key for key in self._sent if key[0] == stream and key[1] == queue]:
            if any(first <= key[2] <= last for first, last in ranges):
                self._drop_sent(key)

    def _resend_gaps(self, stream: Stream, queue: str, ranges: Ranges) -> None:
        """Acknowledged, not stored, but something behind it is: the broker dropped it."""
        if not ranges:
            return
        newest = ranges[-1][1]
        gaps = [
            key
            for key, sent in self._sent.items()
            if key[0] == stream and key[1] == queue and key[2] < newest and sent.acked
        ]
        for key in gaps:
            self._drop_sent(key)
            self.state.resent += 1
        if gaps:
            self._cursor[stream] = ("", 0)

    def _resend_if_due(self) -> None:
        """No progress for a while with batches unstored: send them all again, ever more slowly."""
        if not any(sent.acked for sent in self._sent.values()):
            self._progress_s = self._now_s()
            return
        if self._now_s() - self._progress_s >= self._resend_s:
            self.state.resent += len(self._sent)
            self._forget_acked()
            self._resend_s = min(60.0, 2 * self._resend_s)

    def _start_over(self) -> None:
        """A new connection: whatever the old one sent may be lost."""
        self._sent.clear()
        self._forget_acked()

    def _forget_acked(self) -> None:
        """What the broker took counts as never sent; what is on its way stays."""
        self._sent = {key: sent for key, sent in self._sent.items() if not sent.acked}
        self.state.unstored_bytes = sum(sent.size for sent in self._sent.values())
        self._cursor = {stream: ("", 0) for stream in STREAMS}
        self._progress_s = self._now_s()

    def _drop_sent(self, key: Key) -> None:
        sent = self._sent.pop(key, None)
        if sent is not None:
            self.state.unstored_bytes -= sent.size

    def _is_delivered(self) -> bool:
        return not self._sent and next(self._ready(), None) is None

    async def until_delivered(self, timeout_s: float) -> bool:
        """Wait until everything in the spool is stored; False when the time is over."""
        self._idle.clear()
        self._wake.set()
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _status(self, *, online: bool) -> Status:
        return Status(
            node=self._identity.node,
            edge=self._identity.edge,
            online=online,
            boot=self._identity.boot,
            session=self._session_number,
            time_ns=clock.wall_ns(),
            agent=self._identity.agent,
        )

    @staticmethod
    def _now_s() -> float:
        return clock.mono_ns() / clock.SECOND_NS


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
