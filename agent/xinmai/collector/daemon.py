"""The collector process: lock, store, log, broker connections, HTTP, and an orderly end."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai.collector.broker import BrokerState
from xinmai.collector.core import Core
from xinmai.collector.edgelink import EdgeLink
from xinmai.collector.files import replace_file
from xinmai.collector.ingest import Ingest
from xinmai.collector.log import Log
from xinmai.collector.logfile import LogFile
from xinmai.collector.seriesfile import SeriesFile
from xinmai.collector.server import Server
from xinmai.collector.store import Layout
from xinmai.config import Config
from xinmai.errors import ConfigError, Usage
from xinmai.shipper.address import broker_address

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
TIDY_S: Final = 20.0


def collector_main(config: Config) -> int:
    """Body of the process; returns its exit code."""
    Path("/proc/self/comm").write_text("xm-collector", "ascii")
    asyncio.run(_until_signal(config))
    return 0


async def _until_signal(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(config, stop)


async def run(
    config: Config, stop: asyncio.Event, ready: Callable[[str], None] | None = None
) -> None:
    """Collect until `stop`.

    Args:
        ready: called with the URL once HTTP answers; the broker may not be reached yet.

    Raises:
        Usage: another collector has the store, or the address cannot be listened on.
        OSError: the store cannot be read or written at all.
    """
    layout = Layout(config.collector.store_dir)
    layout.root.mkdir(parents=True, exist_ok=True)
    with locked(layout):
        core = Core(
            config.collector,
            identity(layout),
            clock.wall_ns(),
            wall_ns=clock.wall_ns,
            mono_s=lambda: clock.mono_ns() / SECOND_NS,
        )
        await Collector(config, core).run(stop, ready)


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold a store against a second collector; ends with the process, whatever ends it."""
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Usage(f"another collector runs on {layout.root}: stop it first") from None
        yield
    finally:
        os.close(descriptor)


def identity(layout: Layout) -> str:
    """The collector's id, made once per store."""
    try:
        text = layout.identity.read_text("ascii").strip()
        if len(text) == 16 and set(text) <= set("0123456789abcdef"):
            return text
    except (OSError, UnicodeDecodeError):
        log.debug("no collector id yet: path=%s", layout.identity)
    text = secrets.token_hex(8)
    replace_file(layout.identity, f"{text}\n".encode())
    return text


class Collector:
    """The tasks of one run."""

    def __init__(self, config: Config, core: Core) -> None:
        self._config, self._core = config, core
        self._broker = BrokerState(config.broker.url)

    async def run(self, stop: asyncio.Event, ready: Callable[[str], None] | None) -> None:
        """Until `stop`, or until a task fails."""
        core = self._core
        address = broker_address(self._config.broker)
        number = await asyncio.to_thread(core.open)
        durable = (core.state.inventories, SeriesFile(core.layout.series))
        logfile = LogFile(core.layout.log, core.collector, durable)
        writing = Log(logfile, core, number, core.wall_ns)
        core.log = writing
        ingest = Ingest(core, writing)
        server = Server(core, self._broker, lambda: writing.bytes)
        runner, url = await self._listen(server)
        links = [EdgeLink(core, ingest, edge, address, self._broker) for edge in core.config.edges]
        tasks = [
            asyncio.create_task(core.seal_forever(), name="collector-seal"),
            asyncio.create_task(self._tidy_forever(), name="collector-tidy"),
            asyncio.create_task(self._tick_forever(writing), name="collector-tick"),
        ]
        writer = asyncio.create_task(writing.run(), name="collector-log")
        receivers = [
            asyncio.create_task(link.run(stop), name=f"collector-link-{edge}")
            for edge, link in zip(core.config.edges, links, strict=True)
        ]
        stopping = asyncio.create_task(stop.wait(), name="collector-stop")
        try:
            if ready is not None:
                ready(url)
            await asyncio.wait(
                {stopping, writer, *tasks, *receivers}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            stop.set()
            server.stop()
            results = await asyncio.gather(*receivers, return_exceptions=True)
            for task in (*tasks, stopping):
                task.cancel()
            results += await asyncio.gather(*tasks, return_exceptions=True)
            writing.close()
            results += await asyncio.gather(writer, return_exceptions=True)
            await runner.cleanup()
            server.close()
            ingest.close()
            await core.close()
            core.layout.address.unlink(missing_ok=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _listen(self, server: Server) -> tuple[web.AppRunner, str]:
        core = self._core
        host, port = listen_address(self._config.collector.listen)
        runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise Usage(f"cannot listen on {self._config.collector.listen}: {error}") from error
        host, port, *_ = runner.addresses[0]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        said = {"url": url, "pid": os.getpid()}
        try:
            replace_file(core.layout.address, json.dumps(said).encode())
        except OSError as error:
            # On a full disk it still serves; only `xinmai query` has to read the files itself.
            log.warning("address cannot be written: path=%s error=%s", core.layout.address, error)
        log.info("serving: url=%s store=%s", url, core.layout.root)
        return runner, url

    async def _tidy_forever(self) -> None:
        while True:
            await self._core.tidy()
            await asyncio.sleep(TIDY_S)

    async def _tick_forever(self, writing: Log) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            writing.tick()


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of `collector.listen`.

    Raises:
        ConfigError: it is no HOST:PORT.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{text!r} is no HOST:PORT", key="collector.listen")
    return host or "0.0.0.0", int(port)  # noqa: S104 - asked for by an empty host
