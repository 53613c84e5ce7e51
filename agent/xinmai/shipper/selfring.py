"""The shipper's own series, through a ring like everybody else's."""

from __future__ import annotations

import os
import resource
import time
from array import array

from xinmai import clock
from xinmai.api import Reason, Series
from xinmai.catalog import Kind
from xinmai.layout import EVENT_LANE, LaneLayout, Layout
from xinmai.sampler.plan import EVENT_BYTES
from xinmai.shipper.opencapture import RecorderState
from xinmai.shipper.sendstate import SendState
from xinmai.spool.spools import SpoolSet
from xinmai.wire.messages import STREAMS
from xinmai_native import LANE_COLUMNS, LANE_RECORDS, Ring

PLUGIN = "shipper"
STATM = "/proc/self/statm"
_SLOTS = 64
_RSS = 1
"""Its place among the series."""
_PAGE_BYTES = resource.getpagesize()


class SelfRing:
    """One lane, one row per call of `commit`."""

    def __init__(self, period_ns: int) -> None:
        self._series = _series()
        self._period_ns = period_ns
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
            generation=1,
            ring_id=self.ring.id.hex(),
            stand_in=False,
            devices=(),
            series=tuple(self._series),
            lanes=(
                LaneLayout("self", period_ns, 0, len(self._series), ("self",)),
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

    def commit(self, sender: SendState, spools: SpoolSet, recorder: RecorderState) -> None:
        """Take one row now; its grid is the drain's."""
        begin_ns = clock.mono_ns()
        scheduled_ns = begin_ns // self._period_ns * self._period_ns
        missed = max(0, scheduled_ns - self._due_ns) // self._period_ns if self._due_ns else 0
        self._due_ns = scheduled_ns + self._period_ns
        cells = array("q", _readings(sender, spools, recorder))
        reasons = bytearray(len(self._series))
        cells[_RSS], reasons[_RSS] = self._rss_bytes()
        duration_ns = clock.mono_ns() - begin_ns
        self.ring.commit(0, scheduled_ns, begin_ns, duration_ns, missed, cells, bytes(reasons))

    def _rss_bytes(self) -> tuple[int, int]:
        """Resident memory and no reason, or none and the reason."""
        try:
            return int(os.pread(self._statm, 64, 0).split()[1]) * _PAGE_BYTES, 0
        except (OSError, ValueError, IndexError):
            return 0, int(Reason.UNSUPPORTED)


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
        out.append(_one("xinmai.spool.bytes", "By", gauge, stream=stream))
        out.append(_one("xinmai.spool.records", "{record}", gauge, stream=stream))
    return out


def _one(
    metric: str, unit: str, kind: Kind, *, scale: tuple[int, int] = (1, 1), stream: str = ""
) -> Series:
    attributes = {"xinmai.stream": stream} if stream else {}
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


def _readings(sender: SendState, spools: SpoolSet, recorder: RecorderState) -> list[int]:
    """In the order of `_series`."""
    out = [
        time.process_time_ns(),
        0,
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
