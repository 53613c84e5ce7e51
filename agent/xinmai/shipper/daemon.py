"""The network side of the agent: one process, no devices.

Takes rings from the sampler, drains them once a second into the spools, sends, answers `status`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from pathlib import Path

from xinmai import __version__, clock
from xinmai.channel import Channel, Received
from xinmai.clock import SECOND_NS
from xinmai.config import Config
from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.sampler.supervisor import SOCKET_NAME
from xinmai.shipper.address import broker_address
from xinmai.shipper.drain import Drain
from xinmai.shipper.identity import Identity
from xinmai.shipper.positions import known_positions
from xinmai.shipper.rings import RingSet
from xinmai.shipper.selfring import SelfRing
from xinmai.shipper.sender import Sender
from xinmai.shipper.session import next_session
from xinmai.shipper.status import StatusServer
from xinmai.spool.spools import SpoolSet
from xinmai.wire.messages import STREAMS

DRAIN_AFTER_NS = 120_000_000
"""Behind the window's end: the rows of its last tick and of this second's polls are in by then."""
DELIVER_S = 10.0
RECONNECT_S = 0.25

log = logging.getLogger("xinmai.shipper")


class Shipper:
    """One per node."""

    def __init__(self, config: Config) -> None:
        self.config = config
        state_dir = config.node.state_dir
        self.identity = Identity(
            node=config.node.name,
            edge=config.node.edge,
            boot=clock.boot_id(config.node.root),
            agent=__version__,
        )
        self.spools = SpoolSet(state_dir / "spool", budget_bytes=config.shipper.spool_bytes)
        self.rings = RingSet()
        self.plugins: list[dict[str, object]] = []
        self._known = known_positions(self.spools)
        self._own = SelfRing(config.shipper.window_ns)
        self.rings.add(self._own.layout, self._own.ring.fd, {})
        self.drain = Drain(
            self.identity, config.shipper, self.rings, self.spools, self._tell_drained
        )
        self.sender = Sender(
            self.identity,
            broker_address(config.broker),
            config.shipper,
            self.spools,
            lambda: next_session(state_dir),
        )
        self.sampler: Channel | None = None
        self._sampler_stopped = asyncio.Event()
        self._full = ""

    async def run(self, leave: asyncio.Event) -> None:
        """Until `leave`; then take what is left and deliver it for at most DELIVER_S."""
        status = StatusServer(self)
        await status.start()
        sending = asyncio.create_task(self.sender.run(), name="shipper-sender")
        following = asyncio.create_task(self._follow_sampler(), name="shipper-sampler")
        draining = asyncio.create_task(self._drain_forever(), name="shipper-drain")
        try:
            waiting = asyncio.create_task(leave.wait(), name="shipper-leave")
            done, _ = await asyncio.wait(
                {waiting, sending, following, draining}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            await self._finish(following, draining, sending)
        finally:
            for task in (sending, following, draining, waiting):
                task.cancel()
            await asyncio.gather(sending, following, draining, waiting, return_exceptions=True)
            await status.close()
            self.spools.close()

    async def _finish(
        self,
        following: asyncio.Task[None],
        draining: asyncio.Task[None],
        sending: asyncio.Task[None],
    ) -> None:
        following.cancel()
        draining.cancel()
        await asyncio.gather(following, draining, return_exceptions=True)
        self.rings.mark_gone(self._own.layout.ring_id)
        await self._drain_once(final=self._sampler_stopped.is_set())
        if not await self.sender.until_delivered(DELIVER_S):
            left = sum(self.spools[stream].state().records for stream in STREAMS)
            log.warning("left undelivered in the spool: records=%d, sent at the next start", left)
        self.sender.leave()
        await asyncio.wait({sending}, timeout=2.0)

    async def _drain_forever(self) -> None:
        window_ns = self.config.shipper.window_ns
        while True:
            now_ns = clock.mono_ns()
            due_ns = (now_ns // window_ns + 1) * window_ns + DRAIN_AFTER_NS
            await asyncio.sleep((due_ns - now_ns) / SECOND_NS)
            await self._drain_once()

    async def _drain_once(self, *, final: bool = False) -> None:
        self._own.commit(self.sender.state, self.spools)
        try:
            self.drain.run(final=final)
        except OSError as error:
            if not self._full:
                log.error("spool cannot take more: %s; the rings keep what they can hold", error)
            self._full = str(error)
            return
        if self._full:
            log.info("spool takes again")
            self._full = ""
        await asyncio.get_running_loop().run_in_executor(None, self.spools.sync)
        self.sender.wake()

    async def _follow_sampler(self) -> None:
        """Connect to the sampler, and again whenever it is a new one."""
        path = self.config.node.run_dir / SOCKET_NAME
        loop = asyncio.get_running_loop()
        while True:
            try:
                self.sampler = Channel.connect(path)
            except OSError:
                await asyncio.sleep(RECONNECT_S)
                continue
            gone = asyncio.Event()
            loop.add_reader(self.sampler, self._from_sampler, self.sampler, gone)
            try:
                self.sampler.send("hello", {"pid": os.getpid()})
                await gone.wait()
            except ConnectionError as error:
                log.info("sampler went while connecting: %s", error)
            finally:
                loop.remove_reader(self.sampler)
                self.sampler.close()
                self.sampler = None
                self._mark_others_gone()

    def _mark_others_gone(self) -> None:
        """Hosts leave with their sampler: what they committed is read to its end."""
        for ring in self.rings.all():
            if ring.layout.ring_id != self._own.layout.ring_id:
                ring.gone = True

    def _from_sampler(self, channel: Channel, gone: asyncio.Event) -> None:
        try:
            message = channel.receive()
        except (EOFError, ProtocolError) as error:
            log.info("sampler left: %s", error)
            gone.set()
            return
        if message is not None:
            self._take(message)

    def _take(self, message: Received) -> None:
        try:
            if message.kind == "ring" and message.fds:
                self._take_ring(message)
            elif message.kind == "gone":
                self.rings.mark_gone(str(message.body.get("ring_id", "")))
            elif message.kind == "plugins":
                self.plugins = list(message.body.get("plugins", ()))
            elif message.kind == "stopped":
                self._stopped()
        finally:
            for fd in message.fds:
                os.close(fd)

    def _take_ring(self, message: Received) -> None:
        try:
            layout = Layout.from_map(message.body)
            self.rings.add(layout, message.fds[0], self._known)
        except ProtocolError as error:
            log.warning("ring refused: %s", error)

    def _stopped(self) -> None:
        """Sampling has ended: the sampler waits for what is left to be taken."""
        self._sampler_stopped.set()
        self._mark_others_gone()
        with suppress(OSError):
            self.drain.run()
            self.sender.wake()

    def _tell_drained(self, ring_id: str) -> None:
        """May fail: a sampler that is gone has let go of its rings already."""
        if self.sampler is not None:
            with suppress(OSError):
                self.sampler.send("drained", {"ring_id": ring_id})


def shipper_main(config: Config, leave_fd: int) -> None:
    """Body of the shipper process.

    Args:
        config: of the node.
        leave_fd: a pipe whose end means that the parent is gone; -1 for none.
    """
    Path("/proc/self/comm").write_text("xm-shipper", "ascii")
    asyncio.run(_run(config, leave_fd))


async def _run(config: Config, leave_fd: int) -> None:
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    if leave_fd >= 0:
        loop.add_reader(leave_fd, leave.set)
    await Shipper(config).run(leave)
