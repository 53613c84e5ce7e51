"""From spool to broker: one connection after another, two windows (design: delivery).

A PUBACK means that the broker has a message, nothing more. What frees the spool is `stored`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from xinmai import clock
from xinmai.config import ShipperConfig
from xinmai.errors import BrokerRefused, Refused, TransportError
from xinmai.shipper.commands import Commands
from xinmai.shipper.identity import Identity
from xinmai.shipper.outbox import Item, Outbox
from xinmai.shipper.retained import Retained
from xinmai.shipper.sendstate import SendState
from xinmai.shipper.sentences import Sentences
from xinmai.spool.spools import SpoolSet
from xinmai.transport import Backoff, BrokerAddress, Disconnected, Message, Transport, Will
from xinmai.wire.codec import decode_stored, encode_status
from xinmai.wire.limits import MAX_BODY_BYTES
from xinmai.wire.messages import Status, Stored
from xinmai.wire.topics import Topics

STABLE_S = 60.0
PACKET_TOO_LARGE = 149
TAKEN_OVER = 142
MAX_SEQ = 2**48
"""No node gives so many: a `stored` that names more would use up the seqs of a queue."""

log = logging.getLogger("xinmai.shipper")


@dataclass(slots=True)
class _Session:
    """What belongs to one connection and ends with it."""

    transport: Transport
    announced: set[str] = field(default_factory=set)
    flying: dict[asyncio.Task[None], Item] = field(default_factory=dict)
    failure: BaseException | None = None


class Sender:
    """Owns the connection; told of new records by `wake`.

    Args:
        next_session: gives each connection its number (WIRE-20).
        schemas: of the inventories in force, which are not cleared from the broker.
        retained: what the broker keeps.
        commands: takes what a collector asks; None: nothing is taken.
        now_s: a monotonic clock.
    """

    def __init__(
        self,
        identity: Identity,
        address: BrokerAddress,
        config: ShipperConfig,
        spools: SpoolSet,
        next_session: Callable[[], int],
        *,
        schemas: Callable[[], set[str]] = set,
        retained: Retained | None = None,
        commands: Commands | None = None,
        backoff: Backoff | None = None,
        now_s: Callable[[], float] = lambda: clock.mono_ns() / clock.SECOND_NS,
    ) -> None:
        self._identity, self._address, self._config = identity, address, config
        self._spools, self._next_session, self._schemas = spools, next_session, schemas
        self._topics = Topics(identity.edge, identity.node)
        self._backoff, self._now_s = backoff or Backoff(), now_s
        self._wake, self._hurry = asyncio.Event(), asyncio.Event()
        self._delivered: asyncio.Event | None = None
        self._retained = retained or Retained()
        self._commands = commands
        self._session_number = 0
        self._leaving = self._away = self._contested = False
        self._refusals: dict[str, str] = {}
        self._say = Sentences(log)
        self.packet_bytes = MAX_BODY_BYTES
        """Largest payload that the broker takes, as far as is known."""
        self._learned_bytes = MAX_BODY_BYTES
        self.state = SendState(url=address.url)
        self.outbox = Outbox(spools, config, self.state, now_s)

    def wake(self) -> None:
        """There may be something new to send."""
        self._wake.set()

    def leave(self) -> None:
        """Say goodbye and end `run`, connected or not."""
        self._leaving = True
        self._wake.set()
        self._hurry.set()

    async def until_delivered(self, timeout_s: float) -> bool:
        """Wait until everything in the spool is stored; False when the time is over."""
        self.outbox.hurry()
        if self.outbox.delivered:
            return True
        self._delivered = asyncio.Event()
        self._wake.set()
        self._hurry.set()
        return await _within(self._delivered, timeout_s)

    async def run(self) -> None:
        """Connect, send, and come back, until `leave`."""
        while not self._leaving:
            began_s = self._now_s()
            try:
                await self._connect_and_send()
            except TransportError as error:
                self._note_loss(error, self._now_s() - began_s)
                self._hurry.clear()
                if not self._leaving:
                    await _within(self._hurry, self._backoff.delay_s())

    def _note_loss(self, error: TransportError, lasted_s: float) -> None:
        if self.state.connected and lasted_s > STABLE_S:
            self._backoff.stable()
            self._say.forget()
            self._contested = False
        self._contested |= isinstance(error, Disconnected) and error.code == TAKEN_OVER
        if not self._away:
            self._say.once(
                logging.WARNING, "broker away: url=%s error=%s", self._address.url, error
            )
        self._away, self.state.connected, self.state.error = True, False, str(error)

    async def _connect_and_send(self) -> None:
        self._session_number = self._next_session()
        will = Will(self._topics.status, encode_status(self._status(online=False)))
        client_id = f"xinmai-{self._identity.node}"
        async with Transport(self._address, client_id, will=will) as transport:
            self._note_connected(transport)
            await self._publish_status(transport, online=True)
            asked = [self._topics.cmd] if self._commands else []
            await transport.subscribe([self._topics.stored, *asked])
            self.outbox.start()
            await self._serve(_Session(transport))
            await self._publish_status(transport, online=False)
        self.state.connected = False

    def _note_connected(self, transport: Transport) -> None:
        # Where two clients fight for one id, a connection is no reason to be glad.
        if not self._contested:
            self.state.error = ""
        self._refusals.clear()
        self._say.once(
            logging.INFO,
            "broker connected: url=%s mqtt=%s",
            self._address.url,
            transport.protocol,
        )
        self._away, self.state.connected = False, True
        self.state.protocol = transport.protocol
        self.state.connects += 1
        self.packet_bytes = min(transport.maximum_packet_bytes, self._learned_bytes)

    async def _publish_status(self, transport: Transport, *, online: bool) -> None:
        status = encode_status(self._status(online=online))
        await transport.publish(self._topics.status, status, retain=True)

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

    async def _serve(self, session: _Session) -> None:
        """Until one of the two ends: by `leave`, or by the connection's end."""
        works = {
            asyncio.create_task(self._listen(session.transport), name="shipper-stored"),
            asyncio.create_task(self._send_loop(session), name="shipper-send"),
        }
        try:
            done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel([*works, *session.flying])
        try:
            for work in done:
                work.result()
        except Disconnected as error:
            if error.code == PACKET_TOO_LARGE:
                self._learn(session)
            raise

    def _learn(self, session: _Session) -> None:
        """The broker did not say beforehand what is too large for it: it was what was in flight."""
        largest = max((item.size for item in session.flying.values()), default=MAX_BODY_BYTES)
        self._learned_bytes = min(self._learned_bytes, largest - 1)

    async def _listen(self, transport: Transport) -> None:
        async for message in transport.messages():
            if message.topic == self._topics.cmd:
                await self._take_command(transport, message)
            else:
                self._take_stored(message)

    async def _take_command(self, transport: Transport, message: Message) -> None:
        if self._commands is None:
            return
        try:
            reply = self._commands.take(message)
            if reply is not None:
                await transport.publish(self._topics.reply, reply)
        except Refused as error:
            self._say.once(logging.WARNING, "command refused: %s", error, key="cmd")
        except BrokerRefused as refusal:
            self._note_refusal(refusal)

    def _take_stored(self, message: Message) -> None:
        try:
            stored = self._read_stored(message.payload)
        except Refused as error:
            self._say.once(logging.WARNING, "stored refused: %s", error, key="stored")
            return
        self.outbox.stored(stored)
        # Most words only confirm what was sent a moment ago: no reason to look further.
        if self._delivered or len(self._retained.schemas) > 1 or self.outbox.next() is not None:
            self._wake.set()

    def _read_stored(self, payload: bytes) -> Stored:
        stored = decode_stored(payload)
        if (stored.edge, stored.node) != (self._identity.edge, self._identity.node):
            raise Refused("origin", "node", "not this node's")
        for queues in stored.streams.values():
            if any(last > MAX_SEQ for ranges in queues.values() for _, last in ranges):
                raise Refused("value", "streams", f"a seq over {MAX_SEQ}")
        return stored

    async def _send_loop(self, session: _Session) -> None:
        loop = asyncio.get_running_loop()
        while not self._leaving:
            self._wake.clear()
            if session.failure is not None:
                raise session.failure
            self.outbox.resend_if_due()
            await self._send_ready(session)
            await self._clear_superseded(session)
            if self._delivered is not None and self.outbox.delivered:
                self._delivered.set()
            wait_s = self.outbox.wait_s()
            timer = None if wait_s is None else loop.call_later(wait_s, self._wake.set)
            await self._wake.wait()
            if timer is not None:
                timer.cancel()

    async def _send_ready(self, session: _Session) -> None:
        limit = min(self._config.in_flight, session.transport.receive_maximum)
        while len(session.flying) < limit and (item := self.outbox.next()) is not None:
            await self._send_one(session, item)

    async def _send_one(self, session: _Session, item: Item) -> None:
        record = self._spools[item.stream].read(item.queue, item.seq)
        if record is None:
            self.outbox.skip(item)
        elif item.size > self._learned_bytes:
            self._give_up(item, f"over {self._learned_bytes} bytes, which ended a connection")
        elif record.key and record.key not in session.announced:
            # What is to be sent next may be another record after that.
            await self._announce(session, item, record.key)
        else:
            self.outbox.sending(item)
            self._fly(session, item, record.payload)

    def _fly(self, session: _Session, item: Item, payload: bytes) -> None:
        name = f"publish-{item.stream}-{item.seq}"
        task = asyncio.create_task(self._publish(session.transport, item, payload), name=name)
        session.flying[task] = item
        task.add_done_callback(lambda task: self._land(session, task))

    def _land(self, session: _Session, task: asyncio.Task[None]) -> None:
        """What did not arrive stays in `flying`, for `_learn`."""
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            del session.flying[task]
        session.failure = session.failure or error
        if error is not None or self._delivered or self.outbox.next() is not None:
            self._wake.set()

    async def _announce(self, session: _Session, item: Item, schema: str) -> None:
        """An inventory goes before the first batch that names it (WIRE-31)."""
        payload = self._spools[item.stream].inventory(schema)
        if payload is None:
            self._say.once(logging.ERROR, "inventory is missing: schema=%s", schema)
        else:
            topic = self._topics.inventory(schema)
            self._retained.add(schema)
            try:
                await session.transport.publish(topic, payload, retain=True)
            except BrokerRefused as refusal:
                self._note_refusal(refusal)
                self.outbox.pause(item.stream)
                return
            self._note_taken(topic)
        session.announced.add(schema)

    async def _clear_superseded(self, session: _Session) -> None:
        """Take inventories off the broker that nothing held here names any more."""
        if len(self._retained.schemas) < 2 or self._delivered is not None:
            return
        named = self._schemas().union(*(spool.schemas() for spool in self._spools))
        for schema in self._retained.schemas - named:
            with suppress(BrokerRefused):
                await session.transport.publish(self._topics.inventory(schema), b"", retain=True)
            self._retained.discard(schema)
            session.announced.discard(schema)

    async def _publish(self, transport: Transport, item: Item, payload: bytes) -> None:
        topic = self._topics.of(item.stream)
        try:
            await transport.publish(topic, payload)
        except BrokerRefused as refusal:
            if refusal.code == PACKET_TOO_LARGE:
                self._give_up(item, str(refusal))
            else:
                self.state.refused += 1
                self._note_refusal(refusal)
                self.outbox.refused(item)
            self._wake.set()
            return
        self._note_taken(topic)
        self.state.messages += 1
        self.state.bytes += len(payload)
        self.outbox.acked(item)

    def _give_up(self, item: Item, why: str) -> None:
        """It will never fit: those behind it must not wait (D5)."""
        self.state.refused += 1
        what = "batch given up: stream=%s seq=%d %s; others like it are counted"
        self._say.once(logging.ERROR, what, item.stream, item.seq, why, key=f"big {item.stream}")
        self._spools[item.stream].discard(item.queue, item.seq, item.seq, "refused")
        self.outbox.forget(item)

    def _note_refusal(self, refusal: BrokerRefused) -> None:
        """It may be allowed later: keep the record, say it once."""
        self._refusals[refusal.topic] = self.state.error = str(refusal)
        self._say.once(logging.ERROR, "broker refuses, trying again: %s", refusal)

    def _note_taken(self, topic: str) -> None:
        if self._refusals.pop(topic, None) is not None:
            self.state.error = next(iter(self._refusals.values()), "")
            log.info("broker takes again: topic=%s", topic)


async def _within(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event; False when the time is over."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)
    return event.is_set()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
