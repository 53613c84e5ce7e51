"""Start everything, watch it, end it in the right order, say what was stored."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from xinmai import clock
from xinmai.broker import HOST, BrokerKind, broker_command, find_broker, free_port, wait_ready
from xinmai.clock import SECOND_NS
from xinmai.config import Config
from xinmai.errors import Unavailable, XinmaiError
from xinmai.spool.spool import Spool
from xinmai.spool.spools import SpoolSet
from xinmai.standin import Wanted, build_cached, environment
from xinmai.storeplace import remember_store
from xinmai.up.collectorapi import CollectorApi
from xinmai.up.daemons import Daemon
from xinmai.up.summary import Totals, summarise, totals
from xinmai.wire.codec import decode_batch

READY_S = 20.0
AGENT_GRACE_S = 40.0
STEP_S = 0.2


@dataclass(frozen=True, slots=True)
class Options:
    """What `xinmai up` was asked for.

    Args:
        for_ns: end after this long, None to run until a signal.
        keep: where the store goes; None for the state directory.
        temp: put everything into a directory that is removed at the end.
        broker: which one to run; `auto` takes mosquitto where it is installed.
        stand_ins: simulated SDKs, whose devices the agent reads as if they were real.
    """

    for_ns: int | None = None
    keep: Path | None = None
    temp: bool = False
    broker: Literal["auto", "mosquitto", "amqtt"] = "auto"
    stand_ins: Sequence[Wanted] = ()


@contextmanager
def place(config: Config, options: Options) -> Iterator[Config]:
    """The configuration with this run's directories and ports filled in."""
    if not options.temp:
        store = options.keep or config.collector.store_dir
        yield _placed(config, config.node.state_dir, config.node.run_dir, store)
        return
    with tempfile.TemporaryDirectory(prefix="xinmai-") as name:
        base = Path(name)
        yield _placed(config, base / "state", base / "run", options.keep or base / "store")


def _placed(config: Config, state_dir: Path, run_dir: Path, store_dir: Path) -> Config:
    host, _, port = config.collector.listen.rpartition(":")
    return replace(
        config,
        node=replace(config.node, state_dir=state_dir, run_dir=run_dir),
        broker=replace(config.broker, url=f"mqtt://127.0.0.1:{free_port()}"),
        collector=replace(
            config.collector,
            edges=(config.node.edge,),
            store_dir=store_dir.absolute(),
            listen=f"{host}:{port_or_free(host, int(port))}",
        ),
    )


def port_or_free(host: str, port: int) -> int:
    """The port if nobody has it, else one that is free."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return free_port()
    return port


def choose_broker(wanted: Literal["auto", "mosquitto", "amqtt"]) -> BrokerKind:
    """The broker to run.

    Raises:
        Unavailable: there is none, or not the one that was asked for.
    """
    found = find_broker("" if wanted == "amqtt" else None)
    if wanted not in ("auto", found.name):
        raise Unavailable(
            f"start {wanted}", "it is not on PATH or in /usr/sbin", f"apt install {wanted}"
        )
    return found


class Up:
    """One run of `xinmai up`."""

    def __init__(self, config: Config, options: Options, settings: list[str]) -> None:
        self.config, self.options = config, options
        self._settings = settings
        self.api = CollectorApi(f"http://{config.collector.listen}")
        self.broker = choose_broker(options.broker)
        self._stop = False
        self._before = Totals()
        self._daemons: list[Daemon] = []

    @property
    def agent_pid(self) -> int:
        """Process id of the agent's parent, 0 while it is not running."""
        for daemon in self._daemons:
            if daemon.name == "agent" and daemon.process is not None:
                return daemon.process.pid
        return 0

    def run(self, tell: Callable[[str], None], tick: Callable[[float], None]) -> dict[str, Any]:
        """The whole run.

        Args:
            tell: one line for people, as things happen.
            tick: seconds that have gone by, a few times a second.

        Returns:
            The summary.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            self._start(tell)
            self._watch(tick)
            return self._end(tell)
        finally:
            for daemon in reversed(self._daemons):
                daemon.stop(5.0)

    def _on_signal(self, _signal: int, _frame: object) -> None:
        self._stop = True

    def _start(self, tell: Callable[[str], None]) -> None:
        port = int(self.config.broker.url.rpartition(":")[2])
        directory = self.config.node.state_dir / "broker"
        directory.mkdir(parents=True, exist_ok=True)
        name, mqtt = self.broker.name, self.broker.protocol
        tell(f"broker: {name} (MQTT {mqtt}) on {HOST}:{port}")
        stand_ins, variables = self._stand_ins(tell)
        self._add("broker", broker_command(self.broker, directory, port), tell)
        asyncio.run(wait_ready(port, READY_S))
        self._add("collector", self._xinmai("collector"), tell)
        self._until(self._collector_ready, "the collector to listen and to reach the broker")
        if not self.options.temp:
            remember_store(self.config)
        self._before = totals(self.api, self.config.node.edge, self.config.node.name)
        self._add("agent", [*self._xinmai("agent"), *stand_ins], tell, variables)
        tell(f"page:   {self.api.url}")
        tell(f"store:  {self.config.collector.store_dir}")

    def _stand_ins(self, tell: Callable[[str], None]) -> tuple[list[str], Mapping[str, str]]:
        """Build the simulated SDKs; options and variables for the agent that shall load them."""
        wanted, options = self.options.stand_ins, list[str]()
        for entry in wanted:
            library = build_cached(entry.stand_in, self.config.node.state_dir)
            options += ["--set", f"plugins.{entry.stand_in.plugin}.library={library}"]
            tell(f"stand-in: {entry.devices} simulated devices behind {library}")
        return options, environment(wanted, clock.mono_ns()) if wanted else {}

    def _add(
        self,
        name: str,
        argv: list[str],
        tell: Callable[[str], None],
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        log = self.config.node.state_dir / "log" / f"{name}.log"
        daemon = Daemon(name, argv, log, tell, variables)
        daemon.start()
        self._daemons.append(daemon)

    def _xinmai(self, command: str) -> list[str]:
        fixed = {
            "node.state_dir": self.config.node.state_dir,
            "node.run_dir": self.config.node.run_dir,
            "broker.url": self.config.broker.url,
            "broker.protocol": self.broker.protocol,
            "collector.edges": self.config.node.edge,
            "collector.store_dir": self.config.collector.store_dir,
            "collector.listen": self.config.collector.listen,
        }
        settings = [*self._settings]
        for key, value in fixed.items():
            settings += ["--set", f"{key}={value}"]
        return [sys.executable, "-m", "xinmai", command, *settings]

    def _collector_ready(self) -> bool:
        try:
            return bool(self.api.health()["broker"]["connected"])
        except OSError:
            return False

    def _until(self, is_done: Callable[[], bool], what: str) -> None:
        deadline_ns = clock.mono_ns() + int(READY_S * SECOND_NS)
        while not is_done():
            if clock.mono_ns() > deadline_ns:
                lines = "\n".join(daemon.last_lines() for daemon in self._daemons)
                raise XinmaiError(f"waited {READY_S:g} s for {what}\n{lines}")
            self._step()

    def _step(self) -> None:
        for daemon in self._daemons:
            daemon.watch()
        signal.sigtimedwait([], STEP_S)

    def _watch(self, tick: Callable[[float], None]) -> None:
        start_ns = clock.mono_ns()
        while not self._stop:
            gone_ns = clock.mono_ns() - start_ns
            tick(gone_ns / SECOND_NS)
            if self.options.for_ns is not None and gone_ns >= self.options.for_ns:
                return
            self._step()

    def _end(self, tell: Callable[[str], None]) -> dict[str, Any]:
        """Sampling stops first; what it took is delivered; then collector and broker end."""
        broker, collector, agent = self._daemons
        agent.stop(AGENT_GRACE_S)
        for daemon in (broker, collector):
            daemon.watch()
        left = undelivered(self.config)
        if left:
            tell(f"{left} readings stay in the spool; the next start delivers them")
        self._until(self._collector_ready, "the collector to answer")
        node = self.config.node
        return summarise(
            self.api, self._before, node.edge, node.name, str(self.config.collector.store_dir), left
        )


def undelivered(config: Config) -> int:
    """Readings in the spool that no collector has stored."""
    spools = SpoolSet(config.node.state_dir / "spool", budget_bytes=config.shipper.spool_bytes)
    try:
        return sum(_readings(spool) for spool in spools)
    finally:
        spools.close()


def _readings(spool: Spool) -> int:
    records = [spool.read(queue, seq) for queue, seq, _ in spool.unstored()]
    batches = [decode_batch(record.payload) for record in records if record is not None]
    return sum(entry.taken for batch in batches for entry in batch.account)
