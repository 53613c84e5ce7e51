"""Every plugin once, without a daemon: the same hosts, the same rings, one row of each lane."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from xinmai import clock
from xinmai.channel import Channel, Received
from xinmai.clock import SECOND_NS
from xinmai.config import Config, PluginConfig
from xinmai.errors import ProtocolError
from xinmai.layout import LaneLayout, Layout
from xinmai.manifest import PluginSource
from xinmai.sampler.host import HostSettings
from xinmai.sampler.hostproc import HostProcess, State
from xinmai.sampler.ready import why_not
from xinmai_native import RingReader, Rows

START_S = 10.0
STOP_S = 3.0


@dataclass(slots=True)
class Seen:
    """What one plugin showed; `reason` says why it showed nothing."""

    plugin: str
    reason: str = ""
    layout: Layout | None = None
    rows: dict[str, Rows] = field(default_factory=dict)
    """One row by lane name; a lane that gave none in time is not in it."""


@dataclass(slots=True)
class _Visit:
    host: HostProcess
    channel: Channel
    seen: Seen
    reader: RingReader | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return not self.host.pid or bool(self.seen.layout and not self.waiting())

    def waiting(self) -> list[tuple[int, LaneLayout]]:
        """Lanes with columns of the plugin's own that have no row yet."""
        if self.seen.layout is None:
            return []
        return [
            (index, lane)
            for index, lane in enumerate(self.seen.layout.lanes)
            if lane.count and lane.cost and lane.name not in self.seen.rows
        ]


def look(
    config: Config, sources: Mapping[str, PluginSource], *, timeout_s: float = START_S
) -> list[Seen]:
    """Start each plugin whose needs are met, take one row per lane, stop it."""
    seen: list[Seen] = []
    visits: list[_Visit] = []
    for name, source in sorted(sources.items()):
        plugin = config.plugins.get(name, PluginConfig())
        host = HostProcess(source, HostSettings(config.node.root, config.cadence, plugin))
        entry = Seen(name)
        seen.append(entry)
        resting = why_not(source, host.settings)
        if resting is not None:
            entry.reason = resting[1]
        else:
            visits.append(_Visit(host, host.spawn(), entry))
    try:
        _take_rows(visits, clock.mono_ns() + int(timeout_s * SECOND_NS))
    finally:
        _stop(visits)
    return seen


def _take_rows(visits: Sequence[_Visit], deadline_ns: int) -> None:
    while clock.mono_ns() < deadline_ns:
        for visit in visits:
            _hear(visit)
            for index, lane in visit.waiting():
                assert visit.reader is not None
                rows = visit.reader.rows(index, 0, 1)
                if rows.n:
                    visit.seen.rows[lane.name] = rows
        if all(visit.is_over for visit in visits):
            return
        select.select([visit.channel for visit in visits if visit.host.pid], [], [], 0.02)
    for visit in visits:
        if not visit.is_over and not visit.seen.reason:
            visit.seen.reason = _late(visit)


def _late(visit: _Visit) -> str:
    if visit.reader is None:
        return "did not finish its start in time"
    return visit.host.stall(clock.mono_ns(), 0) or "gave no reading in time"


def _hear(visit: _Visit) -> None:
    with suppress(EOFError, ProtocolError):
        while visit.host.pid and (message := visit.channel.receive()) is not None:
            _take(visit, message)
    exit_code = visit.host.wait()
    if exit_code is not None:
        for message in visit.host.last_words():
            _take(visit, message)
        visit.host.ended(exit_code)
        if visit.host.state is not State.STOPPED:
            visit.seen.reason = visit.host.reason


def _take(visit: _Visit, message: Received) -> None:
    try:
        if message.kind == "layout" and visit.reader is None:
            visit.seen.layout = Layout.from_map(message.body)
            visit.reader = RingReader(message.fds[0])
            visit.host.running(visit.seen.layout, visit.reader)
        else:
            visit.host.hear(message)
    finally:
        for fd in message.fds:
            os.close(fd)


def _stop(visits: Sequence[_Visit]) -> None:
    for visit in visits:
        visit.host.ask_to_stop()
    deadline_ns = clock.mono_ns() + int(STOP_S * SECOND_NS)
    for visit in visits:
        while visit.host.pid and clock.mono_ns() < deadline_ns:
            if visit.host.wait() is not None:
                break
            with suppress(OSError, EOFError, ProtocolError):
                select.select([visit.channel], [], [], 0.05)
                visit.channel.receive()
        visit.channel.close()


def cells(layout: Layout, lane: LaneLayout, rows: Rows) -> Iterator[tuple[int, int, int, int]]:
    """(series index in the layout, cell, reason, code) of each column of a single row."""
    values = memoryview(rows.values).cast("q")
    reasons = {column: (reason, code) for column, _, reason, code in rows.reasons}
    for column in range(lane.count):
        reason, code = reasons.get(column, (0, 0))
        yield lane.first + column, values[column], reason, code
