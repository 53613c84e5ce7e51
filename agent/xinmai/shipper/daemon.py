"""The network side of the agent: one process, no devices.

Takes rings from the sampler, drains them once a second into the spools, sends, answers `status`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

from xinmai import __version__, clock
from xinmai.clock import SECOND_NS
from xinmai.config import Config
from xinmai.sampler.supervisor import SOCKET_NAME
from xinmai.shipper.address import broker_address
from xinmai.shipper.clocksteps import ClockWatch
from xinmai.shipper.commands import Commands, commands_allowed
from xinmai.shipper.drain import Drain
from xinmai.shipper.identity import Identity
from xinmai.shipper.positions import known_positions
from xinmai.shipper.retained import Retained
from xinmai.shipper.rings import RingSet
from xinmai.shipper.samplerlink import SamplerLink
from xinmai.shipper.selfring import SelfRing
from xinmai.shipper.sender import Sender
from xinmai.shipper.session import next_session
from xinmai.shipper.status import StatusServer
from xinmai.spool.spools import SpoolSet

DRAIN_AFTER_NS = 120_000_000
"""Behind the window's end: the rows of its last tick and of this second's polls are in by then."""
DELIVER_S = 10.0
GOODBYE_S = 2.0
SYNC_NS = 30 * SECOND_NS
"""Of a spool whose records are all stored: for its own order, not for the data."""

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
        self.rings = RingSet(self.identity, known_positions(self.spools))
        self._own = SelfRing(config.shipper.window_ns)
        self.rings.add(self._own.layout, self._own.ring.fd)
        self._soon = asyncio.Event()
        self.sampler = SamplerLink(
            config.node.run_dir / SOCKET_NAME,
            self.rings,
            self._own.id,
            self._soon.set,
            lambda *told: self.drain.recorder.host_ended(*told),
        )
        self.sender = Sender(
            self.identity,
            broker_address(config.broker),
            config.shipper,
            self.spools,
            lambda: next_session(state_dir),
            schemas=lambda: self.drain.schemas,
            retained=Retained(state_dir / "inventories"),
            commands=Commands(self.identity, self._capture) if commands_allowed(config) else None,
        )
        self.drain = Drain(
            self.identity,
            config.shipper,
            self.rings,
            self.spools,
            self.sampler.tell_drained,
            lambda: self.sender.packet_bytes,
            config.capture,
        )
        self._clock_watch = ClockWatch(self.drain.look_at_clock)
        self._failing = ""
        self._sync_ns = 0

    async def run(self, leave: asyncio.Event) -> None:
        """Until `leave`; then take what is left and deliver it for at most DELIVER_S."""
        status = StatusServer(self)
        await status.start()
        self._clock_watch.start()
        sending = asyncio.create_task(self.sender.run(), name="shipper-sender")
        works = [
            asyncio.create_task(self._drain_forever(), name="shipper-drain"),
            asyncio.create_task(self.sampler.follow(), name="shipper-sampler"),
        ]
        waiting = asyncio.create_task(leave.wait(), name="shipper-leave")
        try:
            done, _ = await asyncio.wait(
                {waiting, sending, *works}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            await self._finish(works)
            await asyncio.wait({sending}, timeout=GOODBYE_S)
        finally:
            await _cancel(waiting, sending, *works)
            await status.close()
            self._clock_watch.close()
            self.spools.close()
            self._own.close()

    async def _finish(self, works: list[asyncio.Task[None]]) -> None:
        draining, following = works
        await _cancel(draining)
        await self._drain_once(leaving=True)
        await _cancel(following)
        if not await self.sender.until_delivered(DELIVER_S):
            left = sum(spool.state().records for spool in self.spools)
            log.warning("left undelivered in the spool: records=%d, sent at the next start", left)
        self.sender.leave()

    async def _drain_forever(self) -> None:
        """At the end of each window, and at once when sampling has ended."""
        window_ns, loop = self.config.shipper.window_ns, asyncio.get_running_loop()
        while True:
            self._soon.clear()
            now_ns = clock.mono_ns()
            due_ns = (now_ns // window_ns + 1) * window_ns + DRAIN_AFTER_NS
            timer = loop.call_later((due_ns - now_ns) / SECOND_NS, self._soon.set)
            await self._soon.wait()
            timer.cancel()
            await self._drain_once()

    def _capture(self, before_ns: int, after_ns: int) -> str:
        """Begin a capture by command; what the rings hold of it is copied at once."""
        found = self.drain.recorder.command(self.rings, before_ns, after_ns)
        self._soon.set()
        return found

    async def _drain_once(self, *, leaving: bool = False) -> None:
        """A disk that fails or is full ends nothing: the rings and memory keep what they can."""
        self._own.commit(self.sender.state, self.spools, self.drain.recorder.state)
        failed = await self._sync_if_needed()
        try:
            self.drain.run(leaving=leaving)
        except OSError as error:
            failed = failed or error
        self._note_disk(failed)
        self.sender.wake()

    async def _sync_if_needed(self) -> OSError | None:
        """Make durable what no collector has after a window; where one has it all, seldom."""
        now_ns = clock.mono_ns()
        if self.sender.outbox.delivered and now_ns < self._sync_ns:
            return None
        self._sync_ns = now_ns + SYNC_NS
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.spools.sync)
        except OSError as error:
            return error
        return None

    def _note_disk(self, failed: OSError | None) -> None:
        if failed is not None and not self._failing:
            log.error("spool cannot take more: %s; the rings keep what they can hold", failed)
        elif failed is None and self._failing:
            log.info("spool takes again")
        self._failing = str(failed or "")


async def _cancel(*tasks: asyncio.Task[None] | asyncio.Task[bool]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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
        loop.add_reader(leave_fd, _orphaned, loop, leave_fd, leave)
    await Shipper(config).run(leave)


def _orphaned(loop: asyncio.AbstractEventLoop, leave_fd: int, leave: asyncio.Event) -> None:
    # The end of a pipe stays readable for ever.
    loop.remove_reader(leave_fd)
    leave.set()
