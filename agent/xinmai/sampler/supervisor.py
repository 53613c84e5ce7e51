"""The device side's parent: starts one host per plugin, watches, restarts, hands rings over.

Never loads plugin code, never runs a thread, never waits for a host.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from xinmai import clock
from xinmai.channel import Channel, Received
from xinmai.clock import SECOND_NS
from xinmai.config import Config, PluginConfig
from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.manifest import PluginSource
from xinmai.sampler.clients import Clients, Message
from xinmai.sampler.cpus import settle
from xinmai.sampler.heldrings import HeldRing, HeldRings
from xinmai.sampler.hostproc import HostProcess, State
from xinmai.sampler.outputs import Outputs
from xinmai.sampler.ready import why_not
from xinmai.sampler.settings import HostSettings, lanes_for
from xinmai.sampler.stall import Deadlines, Stall
from xinmai_native import RingError, RingReader

SOCKET_NAME = "sampler.sock"
TURN_S = 1.0
SOONEST_S = 0.01
DRAIN_GRACE_S = 10.0
NEEDS_AGAIN_S = 60.0

log = logging.getLogger("xinmai.sampler")


class Supervisor:
    """One per node."""

    def __init__(
        self,
        config: Config,
        sources: Mapping[str, PluginSource],
        deadlines: Deadlines | None = None,
    ) -> None:
        self._config = config
        self._deadlines = deadlines or Deadlines()
        self._hosts = {
            name: HostProcess(source, self._settings(name), self._deadlines)
            for name, source in sources.items()
        }
        self._rings = HeldRings()
        self._clients = Clients(self._greeting, self._hear)
        self._outputs = Outputs()
        self._stopping = False
        self._drained = asyncio.Event()
        self._told: list[dict[str, object]] = []

    def _settings(self, name: str) -> HostSettings:
        plugin = self._config.plugins.get(name, PluginConfig())
        return HostSettings(
            self._config.node.root,
            self._config.cadence,
            plugin,
            max_lanes=lanes_for(len(os.sched_getaffinity(0))),
        )

    async def run(self, leave: asyncio.Event) -> None:
        """Run until `leave` is set; then stop the hosts, all at once, and say `stopped`."""
        loop = asyncio.get_running_loop()
        self._clients.open(self._config.node.run_dir / SOCKET_NAME)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        try:
            while not leave.is_set():
                self._turn()
                with suppress(TimeoutError):
                    await asyncio.wait_for(leave.wait(), self._until_next_s(clock.mono_ns()))
        finally:
            await self._end(loop)

    def _until_next_s(self, now_ns: int) -> float:
        """Until the next turn: a call that hangs is told at its deadline, not a turn later."""
        looks = [host.look_ns - now_ns for host in self._hosts.values() if host.look_ns]
        return max(SOONEST_S, min([TURN_S, *(left_ns / SECOND_NS for left_ns in looks)]))

    def _turn(self) -> None:
        """Start what is due, look for stalls, tell the shipper what changed."""
        now_ns = clock.mono_ns()
        for host in self._hosts.values():
            if host.is_due(now_ns):
                self._start(host)
            self._look_at(host, now_ns)
            host.tend_abandoned(now_ns)
        self._clients.tend()
        self._outputs.tend()
        self._tell_plugins()

    def _look_at(self, host: HostProcess, now_ns: int) -> None:
        try:
            stall = host.look(now_ns)
        except RingError as error:
            host.refuse(f"its ring is damaged: {error}")
            self._hang_up(host)
            return
        if stall is not None and host.is_lost(stall, now_ns):
            self._abandon(host, stall, now_ns)

    def _start(self, host: HostProcess) -> None:
        resting = why_not(host.source, host.settings)
        if resting is not None:
            state, reason = resting
            host.rest(state, reason, -1.0 if state is State.DISABLED else NEEDS_AGAIN_S)
            return
        try:
            channel = self._spawn(host)
        except OSError as error:
            host.rest(State.FAILED, f"cannot start a process: {error}", NEEDS_AGAIN_S)
            return
        asyncio.get_running_loop().add_reader(channel, self._from_host, host, channel)

    def _spawn(self, host: HostProcess) -> Channel:
        output_fd = self._outputs.open(host.source.name)
        try:
            return host.spawn(output_fd)
        finally:
            os.close(output_fd)

    def _abandon(self, host: HostProcess, stall: Stall, now_ns: int) -> None:
        """Another host goes on without what this one hangs in; this one ends when it can."""
        self._hang_up(host)
        self._mark_gone(host)
        host.abandon(stall, now_ns)
        self._start_when_due(host)

    def _from_host(self, host: HostProcess, channel: Channel) -> None:
        try:
            message = channel.receive()
        except (EOFError, ProtocolError) as error:
            if isinstance(error, ProtocolError):
                host.refuse(f"spoke wrongly: {error}")
            self._hang_up(host)
            return
        if message is not None:
            self._take(host, message)

    def _hang_up(self, host: HostProcess) -> None:
        if host.channel is not None:
            asyncio.get_running_loop().remove_reader(host.channel)
            host.hang_up()

    def _take(self, host: HostProcess, message: Received) -> None:
        try:
            if message.kind == "layout":
                self._take_ring(host, message)
            else:
                host.hear(message)
        except (ProtocolError, RingError, OSError) as error:
            host.refuse(f"its ring cannot be used: {error}")
            self._hang_up(host)
        finally:
            for fd in message.fds:
                os.close(fd)

    def _take_ring(self, host: HostProcess, message: Received) -> None:
        if not message.fds:
            raise ProtocolError("layout without a ring")
        layout = Layout.from_map(message.body)
        reader = RingReader(message.fds[0])
        if layout.plugin != host.source.name or layout.ring_id != reader.id.hex():
            raise ProtocolError(f"ring {reader.id.hex()} came as {layout.plugin} {layout.ring_id}")
        if len(reader.lanes) != len(layout.lanes):
            raise ProtocolError(f"{len(reader.lanes)} lanes came as {len(layout.lanes)}")
        self._mark_gone(host)
        host.running(layout, reader)
        fd = message.fds.pop(0)
        ring = self._rings.add(HeldRing(layout.plugin, layout.ring_id, message.body, fd))
        self._clients.tell(Message("ring", ring.body, ring))
        self._tell_plugins()

    def _mark_gone(self, host: HostProcess) -> None:
        """The host's current ring will not grow any more."""
        ring_id = host.ring_id
        if ring_id and self._rings.mark_gone(ring_id):
            self._clients.tell(Message("gone", {"ring_id": ring_id}))

    def _reap(self) -> None:
        for host in self._hosts.values():
            exit_code = host.wait()
            if exit_code is not None:
                for message in host.last_words():
                    self._take(host, message)
                self._hang_up(host)
                self._mark_gone(host)
                host.ended(exit_code)
                self._start_when_due(host)
        self._tell_plugins()

    def _start_when_due(self, host: HostProcess) -> None:
        """At its own time, which may be sooner than the next turn."""
        if host.due_ns >= 0:
            delay_s = max(0.0, (host.due_ns - clock.mono_ns()) / SECOND_NS)
            asyncio.get_running_loop().call_later(delay_s, self._start_if_due, host)

    def _start_if_due(self, host: HostProcess) -> None:
        if not self._stopping and host.is_due(clock.mono_ns()):
            self._start(host)

    def _greeting(self) -> Iterable[Message]:
        """Everything a shipper needs, first every ring still held, oldest first."""
        yield Message("hello", {"node": self._config.node.name, "pid": os.getpid()})
        for ring in self._rings:
            yield Message("ring", ring.body, ring)
            if ring.gone:
                yield Message("gone", {"ring_id": ring.ring_id})
        yield Message("plugins", {"plugins": self._told})

    def _hear(self, message: Received) -> None:
        ring_id = str(message.body.get("ring_id", ""))
        if message.kind == "drained" and self._rings.drained(ring_id):
            self._drained.set()

    def _tell_plugins(self) -> None:
        now = [host.summary() for host in self._hosts.values()]
        if now != self._told:
            self._told = now
            self._clients.tell(Message("plugins", {"plugins": now}))

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stopping = True
        for host in self._hosts.values():
            host.ask_to_stop()
        await self._until_ended(loop, self._deadlines.grace_ns / SECOND_NS)
        for host in self._hosts.values():
            host.kill_if_safe()
        await self._until_ended(loop, 0.5)
        for host in self._hosts.values():
            self._mark_gone(host)
            for pid in host.left_behind():
                log.warning("host left behind: plugin=%s pid=%d", host.source.name, pid)
        self._tell_plugins()
        self._clients.tell(Message("stopped", {}))
        await self._until_drained(loop)
        loop.remove_signal_handler(signal.SIGCHLD)
        self._outputs.close()
        self._clients.close()
        self._rings.close()

    async def _until_ended(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        deadline = loop.time() + seconds
        hosts = self._hosts.values()
        while any(host.left_behind() for host in hosts) and loop.time() < deadline:
            self._reap()
            for host in hosts:
                host.tend_abandoned(clock.mono_ns())
            await asyncio.sleep(0.02)

    async def _until_drained(self, loop: asyncio.AbstractEventLoop) -> None:
        """Rings die with this process: leave only when a shipper has taken what they hold."""
        deadline = loop.time() + DRAIN_GRACE_S
        while len(self._rings) and loop.time() < deadline:
            self._drained.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), deadline - loop.time())
        for ring in self._rings:
            log.warning("ring left undrained: plugin=%s ring=%s", ring.plugin, ring.ring_id)


def sampler_main(
    config: Config,
    sources: Mapping[str, PluginSource],
    leave_fd: int,
    deadlines: Deadlines | None = None,
) -> None:
    """Body of the sampler process.

    Args:
        config: of the node.
        sources: plugins by name; their code is loaded in hosts only.
        leave_fd: a pipe whose end means that the parent is gone; -1 for none.
        deadlines: how long hosts may take; None for the usual ones.
    """
    Path("/proc/self/comm").write_text("xm-sampler", "ascii")
    settle(config.sampler.cpus, config.node.root)
    # Once: what is frozen at a later fork and dropped afterwards would never be collected.
    gc.collect()
    gc.freeze()
    asyncio.run(_run(config, sources, leave_fd, deadlines))


async def _run(
    config: Config,
    sources: Mapping[str, PluginSource],
    leave_fd: int,
    deadlines: Deadlines | None,
) -> None:
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    if leave_fd >= 0:
        loop.add_reader(leave_fd, _parent_gone, loop, leave_fd, leave)
    await Supervisor(config, sources, deadlines).run(leave)


def _parent_gone(loop: asyncio.AbstractEventLoop, fd: int, leave: asyncio.Event) -> None:
    """The end of a pipe stays readable: ask no more, or the loop would spin until it ends."""
    loop.remove_reader(fd)
    leave.set()
