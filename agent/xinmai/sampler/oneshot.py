"""Every plugin once, without a daemon: the same hosts, the same rings, one row of each lane."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from xinmai import clock
from xinmai.channel import Received
from xinmai.clock import SECOND_NS
from xinmai.config import Config, PluginConfig
from xinmai.errors import ProtocolError
from xinmai.layout import LaneLayout, Layout
from xinmai.manifest import PluginSource
from xinmai.sampler.hostproc import HostProcess, State
from xinmai.sampler.ready import why_not
from xinmai.sampler.settings import HostSettings
from xinmai.sampler.stall import find_stall
from xinmai_native import RingError, RingReader, Rows

START_S = 10.0
STOP_S = 3.0
_STEP_S = 0.02


@dataclass(slots=True)
class Seen:
    """What one plugin showed; `reason` says why it showed nothing, or not all."""

    plugin: str
    reason: str = ""
    resting: bool = False
    """It is off, or what it needs is not here: no fault."""
    layout: Layout | None = None
    rows: dict[str, Rows] = field(default_factory=dict)
    """One row by lane name; a lane that gave none in time is not in it."""


@dataclass(slots=True)
class _Visit:
    host: HostProcess
    seen: Seen

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
    gc.freeze()
    seen: list[Seen] = []
    visits: list[_Visit] = []
    try:
        for name, source in sorted(sources.items()):
            plugin = config.plugins.get(name, PluginConfig())
            host = HostProcess(source, HostSettings(config.node.root, config.cadence, plugin))
            seen.append(Seen(name))
            resting = why_not(source, host.settings)
            if resting is None:
                host.spawn()
                visits.append(_Visit(host, seen[-1]))
            else:
                seen[-1].resting = resting[0] is not State.FAILED
                seen[-1].reason = resting[1]
        _take_rows(visits, clock.mono_ns() + int(timeout_s * SECOND_NS))
    finally:
        _stop(visits)
        gc.unfreeze()
    return seen


def _take_rows(visits: Sequence[_Visit], deadline_ns: int) -> None:
    while clock.mono_ns() < deadline_ns:
        for visit in visits:
            _hear(visit)
            _read(visit)
        if all(visit.is_over for visit in visits):
            return
        time.sleep(_STEP_S)
    for visit in visits:
        if not visit.is_over and not visit.seen.reason:
            visit.seen.reason = _late(visit)


def _read(visit: _Visit) -> None:
    for index, lane in visit.waiting():
        if visit.host.reader is not None:
            rows = visit.host.reader.rows(index, 0, 1)
            if rows.n:
                visit.seen.rows[lane.name] = rows


def _late(visit: _Visit) -> str:
    host = visit.host
    if host.layout is None or host.reader is None:
        return "did not finish its start in time"
    manifest = host.source.manifest
    stall = find_stall(manifest, host.layout, host.reader, host.pid, clock.mono_ns(), 0)
    return stall.text if stall else "gave no reading in time"


def _hear(visit: _Visit) -> None:
    host = visit.host
    for message in host.last_words():
        _take(visit, message)
    exit_code = host.wait()
    if exit_code is None:
        return
    for message in host.last_words():
        _take(visit, message)
    with suppress(RingError):
        _read(visit)
    host.ended(exit_code)
    if host.state is not State.STOPPED:
        visit.seen.reason = host.reason
        visit.seen.resting = host.state is State.UNAVAILABLE


def _take(visit: _Visit, message: Received) -> None:
    try:
        if message.kind == "layout" and message.fds and visit.seen.layout is None:
            layout = Layout.from_map(message.body)
            visit.host.running(layout, RingReader(message.fds[0]))
            visit.seen.layout = layout
        else:
            visit.host.hear(message)
    except (ProtocolError, RingError) as error:
        visit.seen.reason = f"its ring cannot be used: {error}"
    finally:
        for fd in message.fds:
            os.close(fd)


def _stop(visits: Sequence[_Visit]) -> None:
    for visit in visits:
        visit.host.ask_to_stop()
    deadline_ns = clock.mono_ns() + int(STOP_S * SECOND_NS)
    while any(visit.host.pid for visit in visits) and clock.mono_ns() < deadline_ns:
        for visit in visits:
            _drop(visit)
        time.sleep(_STEP_S)
    for visit in visits:
        visit.host.kill_if_safe()
        visit.host.hang_up()


def _drop(visit: _Visit) -> None:
    """Let a host end whose readings are taken; what it still says is of no interest."""
    for message in visit.host.last_words():
        visit.host.hear(message)
        for fd in message.fds:
            os.close(fd)
    exit_code = visit.host.wait()
    if exit_code is not None:
        visit.host.ended(exit_code)


def cells(layout: Layout, lane: LaneLayout, rows: Rows) -> Iterator[tuple[int, int, int, int]]:
    """(series index in the layout, cell, reason, code) of each column of a single row."""
    values = memoryview(rows.values).cast("q")
    reasons = {column: (reason, code) for column, _, reason, code in rows.reasons}
    for column in range(lane.count):
        reason, code = reasons.get(column, (0, 0))
        yield lane.first + column, values[column], reason, code
