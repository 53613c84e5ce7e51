"""The device side's parent: starts one host per plugin, watches, restarts, hands rings over.

Never loads plugin code, never runs a thread, never waits for a host.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xinmai import clock
from xinmai.channel import Channel, Received, listen
from xinmai.clock import SECOND_NS
from xinmai.config import Config, PluginConfig
from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.manifest import PluginSource
from xinmai.sampler.host import HostSettings
from xinmai.sampler.hostproc import HostProcess, State
from xinmai.sampler.ready import why_not
from xinmai_native import RingError, RingReader

SOCKET_NAME = "sampler.sock"
HELD_RINGS = 8
STOP_GRACE_S = 5.0
DRAIN_GRACE_S = 10.0
STUCK_AFTER_NS = 2 * SECOND_NS
NEEDS_AGAIN_S = 60.0

log = logging.getLogger("xinmai.sampler")


@dataclass(slots=True)
class HeldRing:
    """A ring the shipper has not drained to its end yet."""

    layout: Layout
    fd: int
    gone: bool = False


class Supervisor:
    """One per node."""

    def __init__(self, config: Config, sources: Mapping[str, PluginSource]) -> None:
        self._config = config
        self._hosts = {
            name: HostProcess(source, self._settings(name)) for name, source in sources.items()
        }
        self._rings: dict[str, HeldRing] = {}
        self._shippers: set[Channel] = set()
        self._stopping = False
        self._drained = asyncio.Event()
        self._told: list[dict[str, object]] = []
        self._server: socket.socket | None = None

    def _settings(self, name: str) -> HostSettings:
        plugin = self._config.plugins.get(name, PluginConfig())
        return HostSettings(self._config.node.root, self._config.cadence, plugin)

    async def run(self, leave: asyncio.Event) -> None:
        """Run until `leave` is set; then stop the hosts, all at once, and say `stopped`."""
        loop = asyncio.get_running_loop()
        self._server = listen(self._config.node.run_dir / SOCKET_NAME)
        loop.add_reader(self._server, self._accept)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        try:
            while not leave.is_set():
                self._turn()
                with suppress(TimeoutError):
                    await asyncio.wait_for(leave.wait(), 1.0)
        finally:
            await self._end(loop)

    def _turn(self) -> None:
        """Once a second: start what is due, look for stalls, tell the shipper what changed."""
        now_ns = clock.mono_ns()
        for host in self._hosts.values():
            if host.is_due(now_ns):
                self._start(host)
            self._look_at(host, now_ns)
        self._tell_plugins()

    def _start(self, host: HostProcess) -> None:
        resting = why_not(host.source, host.settings)
        if resting is not None:
            state, reason = resting
            host.rest(state, reason, -1.0 if state is State.DISABLED else NEEDS_AGAIN_S)
            return
        channel = host.spawn()
        asyncio.get_running_loop().add_reader(channel, self._from_host, host, channel)

    def _look_at(self, host: HostProcess, now_ns: int) -> None:
        """Read the ring's header: it says which call runs since when, whatever the host does."""
        if host.state not in (State.RUNNING, State.STUCK) or host.reader is None:
            if host.state is State.STARTING and now_ns - host.since_ns > 10 * SECOND_NS:
                host.note(State.STUCK, "did not finish its start within 10 s")
            return
        stall = host.stall(now_ns, STUCK_AFTER_NS)
        if stall:
            if host.state is not State.STUCK:
                log.warning("plugin stuck: plugin=%s %s", host.source.name, stall)
            host.note(State.STUCK, stall)
        elif host.state is State.STUCK:
            log.info("plugin answers again: plugin=%s", host.source.name)
            host.note(State.RUNNING, "")

    def _from_host(self, host: HostProcess, channel: Channel) -> None:
        try:
            message = channel.receive()
        except (EOFError, ProtocolError) as error:
            if isinstance(error, ProtocolError):
                log.warning("host speaks wrongly: plugin=%s error=%s", host.source.name, error)
            self._hang_up(host)
            return
        if message is not None:
            self._take(host, message)

    def _hang_up(self, host: HostProcess) -> None:
        if host.channel is not None:
            asyncio.get_running_loop().remove_reader(host.channel)
            host.channel.close()
            host.channel = None

    def _take(self, host: HostProcess, message: Received) -> None:
        if message.kind == "layout" and message.fds:
            self._take_ring(host, message)
        else:
            for fd in message.fds:
                os.close(fd)
            host.hear(message)

    def _take_ring(self, host: HostProcess, message: Received) -> None:
        fd = message.fds[0]
        try:
            layout = Layout.from_map(message.body)
            reader = RingReader(fd)
        except (ProtocolError, RingError) as error:
            log.warning("ring refused: plugin=%s error=%s", host.source.name, error)
            os.close(fd)
            return
        self._mark_gone(host)
        host.running(layout, reader)
        held = HeldRing(layout, fd)
        self._rings[layout.ring_id] = held
        self._drop_oldest(layout.plugin)
        self._tell("ring", layout.to_map(), fd)
        self._tell_plugins()

    def _mark_gone(self, host: HostProcess) -> None:
        """The host's current ring will not grow any more."""
        ring_id = host.ring_id
        if ring_id and ring_id in self._rings and not self._rings[ring_id].gone:
            self._rings[ring_id].gone = True
            self._tell("gone", {"ring_id": ring_id})

    def _drop_oldest(self, plugin: str) -> None:
        mine = [key for key, ring in self._rings.items() if ring.layout.plugin == plugin]
        for key in mine[:-HELD_RINGS]:
            log.warning("undrained ring dropped: plugin=%s ring=%s", plugin, key)
            os.close(self._rings.pop(key).fd)

    def _reap(self) -> None:
        for host in self._hosts.values():
            exit_code = host.wait()
            if exit_code is not None:
                for message in host.last_words():
                    self._take(host, message)
                self._hang_up(host)
                self._mark_gone(host)
                host.ended(exit_code)
                self._turn_soon(host)
        self._tell_plugins()

    def _turn_soon(self, host: HostProcess) -> None:
        if host.due_ns < 0:
            return
        delay_s = max(0.0, (host.due_ns - clock.mono_ns()) / SECOND_NS)
        asyncio.get_running_loop().call_later(delay_s, self._start_if_due, host)

    def _start_if_due(self, host: HostProcess) -> None:
        if not self._stopping and host.is_due(clock.mono_ns()):
            self._start(host)

    def _accept(self) -> None:
        assert self._server is not None
        with suppress(BlockingIOError):
            sock, _ = self._server.accept()
            channel = Channel(sock)
            if channel.peer_uid() not in (0, os.geteuid()):
                log.warning("shipper refused: uid=%d", channel.peer_uid())
                channel.close()
                return
            asyncio.get_running_loop().add_reader(channel, self._from_shipper, channel)
            self._greet(channel)

    def _greet(self, channel: Channel) -> None:
        self._shippers.add(channel)
        self._send(channel, "hello", {"node": self._config.node.name, "pid": os.getpid()})
        for ring_id, ring in self._rings.items():
            self._send(channel, "ring", ring.layout.to_map(), ring.fd)
            if ring.gone:
                self._send(channel, "gone", {"ring_id": ring_id})
        self._send(channel, "plugins", {"plugins": self._told})

    def _from_shipper(self, channel: Channel) -> None:
        try:
            message = channel.receive()
        except (EOFError, ProtocolError) as error:
            log.info("shipper left: %s", error)
            self._forget(channel)
            return
        if message is None:
            return
        for fd in message.fds:
            os.close(fd)
        ring_id = str(message.body.get("ring_id", ""))
        if message.kind == "drained" and ring_id in self._rings and self._rings[ring_id].gone:
            os.close(self._rings.pop(ring_id).fd)
            self._drained.set()

    def _forget(self, channel: Channel) -> None:
        asyncio.get_running_loop().remove_reader(channel)
        self._shippers.discard(channel)
        channel.close()

    def _tell(self, kind: str, body: Mapping[str, object], fd: int | None = None) -> None:
        for channel in list(self._shippers):
            self._send(channel, kind, body, fd)

    def _send(
        self, channel: Channel, kind: str, body: Mapping[str, object], fd: int | None = None
    ) -> None:
        """A shipper that does not read is cut off; when it comes again it is told everything."""
        try:
            channel.send(kind, body, [] if fd is None else [fd])
        except (BlockingIOError, ConnectionError) as error:
            log.warning("shipper cut off: %s", error)
            self._forget(channel)

    def _tell_plugins(self) -> None:
        now = [host.summary() for host in self._hosts.values()]
        if now != self._told:
            self._told = now
            self._tell("plugins", {"plugins": now})

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stopping = True
        for host in self._hosts.values():
            host.ask_to_stop()
        deadline = loop.time() + STOP_GRACE_S
        while any(host.pid for host in self._hosts.values()) and loop.time() < deadline:
            self._reap()
            await asyncio.sleep(0.02)
        for host in self._hosts.values():
            if host.pid:
                log.warning("host left behind: plugin=%s pid=%d", host.source.name, host.pid)
            self._mark_gone(host)
        self._tell("stopped", {})
        await self._until_drained(loop)
        loop.remove_signal_handler(signal.SIGCHLD)
        self._close(loop)

    async def _until_drained(self, loop: asyncio.AbstractEventLoop) -> None:
        """Rings die with this process: leave only when a shipper has taken what they hold."""
        deadline = loop.time() + DRAIN_GRACE_S
        while self._rings and loop.time() < deadline:
            self._drained.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), deadline - loop.time())
        for ring_id in self._rings:
            log.warning("ring left undrained: ring=%s", ring_id)

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        for channel in list(self._shippers):
            self._forget(channel)
        for ring in self._rings.values():
            os.close(ring.fd)
        if self._server is not None:
            loop.remove_reader(self._server)
            self._server.close()


def sampler_main(config: Config, sources: Mapping[str, PluginSource], leave_fd: int) -> None:
    """Body of the sampler process.

    Args:
        config: of the node.
        sources: plugins by name; their code is loaded in hosts only.
        leave_fd: a pipe whose end means that the parent is gone; -1 for none.
    """
    Path("/proc/self/comm").write_text("xm-sampler", "ascii")
    asyncio.run(_run(config, sources, leave_fd))


async def _run(config: Config, sources: Mapping[str, PluginSource], leave_fd: int) -> None:
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    if leave_fd >= 0:
        loop.add_reader(leave_fd, leave.set)
    await Supervisor(config, sources).run(leave)
