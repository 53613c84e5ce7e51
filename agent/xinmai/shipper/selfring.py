"""The shipper's own series, through a ring like everybody else's."""

from __future__ import annotations

import os
import resource
import time
from array import array
from collections.abc import Mapping, Sequence

from xinmai import clock
from xinmai.api import Missing, Reading, Reason, Series
from xinmai.catalog import Kind
from xinmai.layout import EVENT_LANE, SELF_LANE, LaneLayout, Layout
from xinmai.sampler.plan import EVENT_BYTES
from xinmai.sampler.pollers import encode_cell
from xinmai.shipper.opencapture import RecorderState
from xinmai.shipper.sendstate import SendState
from xinmai.spool.spools import SpoolSet
from xinmai.wire.messages import STREAMS
from xinmai_native import LANE_COLUMNS, LANE_RECORDS, Ring

PLUGIN = "shipper"
STATM = "/proc/self/statm"
_SLOTS = 64
_PAGE_BYTES = resource.getpagesize()
_UNTOLD = (Missing(Reason.NOT_YET),) * 4


class SelfRing:
    """One lane, one row per call of `commit`.

    Args:
        period_ns: between rows.
        phase_ns: of the rows' grid.
        plugins: names of those it has series of.
        generation: of this ring.
    """

    def __init__(
        self,
        period_ns: int,
        phase_ns: int = 0,
        plugins: Sequence[str] = (),
        generation: int = 1,
    ) -> None:
        self.plugins = tuple(plugins)
        self._series = [*_series(), *(one for name in plugins for one in _of_plugin(name))]
        self._period_ns, self._phase_ns = period_ns, phase_ns
        self._due_ns = 0
        self._statm = _open(STATM)
        self.ring = Ring(
            [
                (LANE_COLUMNS, len(self._series), 0, _SLOTS, period_ns),
                (LANE_RECORDS, 0, EVENT_BYTES, _SLOTS, period_ns),
            ]
        )
        self.layout = Layout(
            plugin=PLUGIN,
            generation=generation,
            ring_id=self.ring.id.hex(),
            stand_in=False,
            devices=(),
            series=tuple(self._series),
            lanes=(
                LaneLayout(SELF_LANE, period_ns, 0, len(self._series), (SELF_LANE,)),
                LaneLayout(EVENT_LANE, period_ns, len(self._series), 0),
            ),
        )

    @property
    def id(self) -> str:
        """Hex of the ring's id."""
        return self.layout.ring_id

    def close(self) -> None:
        """Give ring and descriptors back."""
        if self._statm >= 0:
            os.close(self._statm)
        self._statm = -1
        self.ring.close()

    def successor(self, plugins: Sequence[str]) -> SelfRing:
        """Another for other plugins; this one is complete and closed."""
        generation = self.layout.generation + 1
        after = SelfRing(self._period_ns, self._phase_ns, plugins, generation)
        self.close()
        return after

    def commit(
        self,
        sender: SendState,
        spools: SpoolSet,
        recorder: RecorderState,
        plugins: Mapping[str, Sequence[Reading]],
    ) -> None:
        """Take one row now; its grid is the drain's.

        Args:
            sender, spools, recorder: what to tell of.
            plugins: by name, as `health.plugin_readings` orders them; not_yet where one lacks.
        """
        begin_ns = clock.mono_ns()
        scheduled_ns = begin_ns - (begin_ns - self._phase_ns) % self._period_ns
        missed = max(0, scheduled_ns - self._due_ns) // self._period_ns if self._due_ns else 0
        self._due_ns = scheduled_ns + self._period_ns
        readings = [*_readings(sender, spools, recorder, self._rss_bytes())]
        for name in self.plugins:
            readings += plugins.get(name, _UNTOLD)
        cells, reasons = array("q"), bytearray()
        for series, reading in zip(self._series, readings, strict=True):
            cell, reason = encode_cell(series, reading)
            cells.append(cell)
            reasons.append(reason)
        duration_ns = clock.mono_ns() - begin_ns
        self.ring.commit(0, scheduled_ns, begin_ns, duration_ns, missed, cells, bytes(reasons))

    def _rss_bytes(self) -> Reading:
        """Resident memory."""
        try:
            return int(os.pread(self._statm, 64, 0).split()[1]) * _PAGE_BYTES
        except (OSError, ValueError, IndexError):
            return Missing(Reason.UNSUPPORTED)


def _open(path: str) -> int:
    """A descriptor kept open, -1 where there is no such file: cheaper than opening each second."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _series() -> list[Series]:
    counter, gauge, state = Kind.COUNTER, Kind.GAUGE, Kind.STATE
    out = [
        _one("xinmai.process.cpu.time", "s", counter, scale=(1, clock.SECOND_NS)),
        _one("xinmai.process.memory.rss", "By", gauge),
        _one("xinmai.publish.connected", "1", state),
        _one("xinmai.publish.connects", "{connection}", counter),
        _one("xinmai.publish.messages", "{message}", counter),
        _one("xinmai.publish.bytes", "By", counter),
        _one("xinmai.publish.refused", "{message}", counter),
        _one("xinmai.publish.unstored", "By", gauge),
        _one("xinmai.capture.captures", "{capture}", counter),
        _one("xinmai.capture.merged", "{trigger}", counter),
        _one("xinmai.capture.suppressed", "{trigger}", counter),
    ]
    for stream in STREAMS:
        out.append(_one("xinmai.spool.bytes", "By", gauge, attributes={"xinmai.stream": stream}))
        out.append(
            _one("xinmai.spool.records", "{record}", gauge, attributes={"xinmai.stream": stream})
        )
    return out


def _of_plugin(name: str) -> list[Series]:
    """In the order of `health.plugin_readings`."""
    of = {"xinmai.plugin": name}
    return [
        _one("xinmai.plugin.up", "1", Kind.STATE, attributes=of),
        _one("xinmai.plugin.restarts", "{restart}", Kind.COUNTER, attributes=of),
        _one("xinmai.call.stalls", "{stall}", Kind.COUNTER, attributes=of),
        _one("xinmai.call.stalled", "s", Kind.GAUGE, scale=(1, clock.SECOND_NS), attributes=of),
    ]


def _one(
    metric: str,
    unit: str,
    kind: Kind,
    *,
    scale: tuple[int, int] = (1, 1),
    attributes: Mapping[str, str] | None = None,
) -> Series:
    attributes = attributes or {}
    if metric.startswith("xinmai.process."):
        attributes = {"xinmai.process": "shipper"}
    return Series(
        hw_id="",
        metric=metric,
        unit=unit,
        kind=kind,
        attributes=attributes,
        scale=scale,
        native="counted by the shipper",
        low=0,
    )


def _readings(
    sender: SendState, spools: SpoolSet, recorder: RecorderState, rss_bytes: Reading
) -> list[Reading]:
    """In the order of `_series`."""
    out: list[Reading] = [
        time.process_time_ns(),
        rss_bytes,
        int(sender.connected),
        sender.connects,
        sender.messages,
        sender.bytes,
        sender.refused,
        sender.unstored_bytes,
        recorder.captures,
        recorder.merged,
        recorder.suppressed,
    ]
    for spool in spools:
        state = spool.state()
        out += [state.bytes, state.records]
    return out
