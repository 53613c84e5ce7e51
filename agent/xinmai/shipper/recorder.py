"""The flight recorder: rows at full rate around a trigger, from the rings into stream capture.

One capture is open at a time; what triggers meanwhile extends it. At the trigger the rows before it
are copied, then each drain appends what has come, so that little is lost with the machine.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from xinmai import clock
from xinmai.clock import MINUTE_NS, SECOND_NS, Timeline
from xinmai.config import CaptureConfig
from xinmai.errors import Refused
from xinmai.quantities import format_bytes
from xinmai.shipper.capturerows import LaneKey, Part, chunks_of, first_position
from xinmai.shipper.events import captures_suppressed
from xinmai.shipper.inventories import Announced
from xinmai.shipper.opencapture import NAME_CHARS, Allowance, OpenCapture, RecorderState
from xinmai.shipper.rings import Ring
from xinmai.shipper.triggers import Cause, EventTrigger, LaneTriggers
from xinmai.shipper.writer import Writer
from xinmai.wire.messages import EventEntry
from xinmai_native import RingError, Rows, Windows

COMMANDS_PER_HOUR: Final = 60
PATIENCE_NS: Final = 60 * SECOND_NS
"""A spool that takes nothing for so long gets no end of the capture: rings are not held on."""

log = logging.getLogger("xinmai.shipper")


class Limits(NamedTuple):
    """Of a batch, and what becomes of a ring that cannot be read."""

    most_bytes: int
    most_cells: int
    block_cells: int
    drop: Callable[[Ring, RingError], None]


class Recorder:
    """Told of what may trigger, and once per drain of the rings to copy from.

    Args:
        window_ns: width of a rollup window; lanes that are not faster are whole in their rollups.
        tell: takes events.
    """

    def __init__(
        self,
        config: CaptureConfig,
        window_ns: int,
        writer: Writer,
        tell: Callable[[EventEntry], None],
    ) -> None:
        self._config, self._window_ns, self._writer, self._tell = config, window_ns, writer, tell
        self._events = EventTrigger(config)
        self._lanes: dict[LaneKey, LaneTriggers] = {}
        self._lost: dict[tuple[str, str, str], bool] = {}
        self._allowed = Allowance(config.per_hour)
        self._commanded = Allowance(COMMANDS_PER_HOUR)
        self._open: OpenCapture | None = None
        self._untold: Counter[str] = Counter()
        self._told_ns = -MINUTE_NS
        self.state = RecorderState()

    def look_at_cells(self, ring: Ring, lane: int, cells: Windows | Rows) -> None:
        """What a drain has read of a lane."""
        if not self._config.per_hour:
            return
        key = (ring.id, lane)
        found = self._lanes.get(key)
        if found is None:
            found = self._lanes[key] = LaneTriggers(ring, lane, self._config.when, self._lost)
        for cause in found.look(cells):
            self.begin(cause)

    def look_at_event(self, plugin: str, event: EventEntry) -> None:
        """What a drain has read of a plugin's events."""
        # Its own time is the wall's, and what a host says of it: it was read a moment ago.
        if cause := self._events.look(plugin, event, clock.mono_ns()):
            self.begin(cause)

    def host_ended(self, plugin: str, state: str, reason: str) -> None:
        """A host died or hangs; its ring is still there until it is drained."""
        self.begin(Cause("lost", f"{plugin} {state}: {reason}", clock.mono_ns(), plugin=plugin))

    def command(self, rings: Iterable[Ring], before_ns: int, after_ns: int) -> str:
        """Begin a capture now, or extend the open one; returns its id.

        Raises:
            ValueError: why not, and what to do.
        """
        span_ns = self._span_ns(rings)
        if not span_ns:
            lanes = ", ".join(self._config.lanes)
            raise ValueError(
                f"no lane of {lanes} that is faster than a window reads by now: ask again in a "
                "moment, or see capture.lanes"
            )
        if before_ns + after_ns > span_ns:
            raise ValueError(
                f"{(before_ns + after_ns) / SECOND_NS:g} s asked for, the rings hold "
                f"{span_ns / SECOND_NS:g} s: ask for less"
            )
        cause = Cause("command", "asked for", clock.mono_ns())
        found = self.begin(cause, before_ns, after_ns)
        if found is None:
            raise ValueError(f"{COMMANDS_PER_HOUR} commands an hour are used up: ask later")
        return found

    def _span_ns(self, rings: Iterable[Ring]) -> int:
        """What the rings hold of the lane that reaches furthest back."""
        return max(
            (
                ring.reader.lanes[lane][3] * ring.layout.lanes[lane].period_ns
                for ring in rings
                for lane in range(len(ring.layout.lanes))
                if self._wants(ring, lane)
            ),
            default=0,
        )

    def begin(self, cause: Cause, before_ns: int = 0, after_ns: int = 0) -> str | None:
        """Begin a capture, or let it fall into the open one.

        Args:
            before_ns, after_ns: 0: as configured.

        Returns:
            The capture's id; None where the hour's are used up or there are to be none.
        """
        if not self._config.per_hour and cause.trigger != "command":
            return None
        now_ns = clock.mono_ns()
        at_ns = min(cause.at_ns, now_ns)
        until_ns = at_ns + (after_ns or self._config.after_ns)
        if self._open is not None:
            self._open.merge(until_ns, self._config.longest_ns)
            self.state.merged += 1
            return self._open.id
        allowance = self._commanded if cause.trigger == "command" else self._allowed
        if not allowance.take(now_ns):
            self.state.suppressed += 1
            self._untold[cause.trigger] += 1
            return None
        from_ns = at_ns - (before_ns or self._config.before_ns)
        self._open = OpenCapture(secrets.token_hex(8), cause, from_ns, until_ns)
        self.state.captures += 1
        log.info("capture begun: id=%s %s: %s", self._open.id, cause.trigger, cause.text)
        return self._open.id

    def record(
        self,
        announced: Sequence[Announced],
        timeline: Timeline,
        limits: Limits,
        *,
        leaving: bool = False,
    ) -> None:
        """Copy what has come since the last time; close the capture when its time is over.

        Raises:
            OSError: the spool cannot take more; what was not kept is tried again.
        """
        now_ns = timeline.anchor.mono_ns
        self._tell_suppressed(now_ns)
        capture = self._open
        if capture is None or not announced:
            return
        over_ns = now_ns - capture.until_ns - self._window_ns
        try:
            self._copy(capture, announced, timeline, limits, closing=leaving or over_ns >= 0)
        except OSError as error:
            if over_ns > PATIENCE_NS:
                log.error("capture given up: id=%s error=%s", capture.id, error)
                self._open = None
            raise

    def _copy(
        self,
        capture: OpenCapture,
        announced: Sequence[Announced],
        timeline: Timeline,
        limits: Limits,
        *,
        closing: bool,
    ) -> None:
        held: Part | None = None
        for part in self._parts(capture, announced, limits):
            if held is not None:
                self._write(capture, held, timeline, last=False)
            held = part
        closing = closing or bool(capture.cut)
        if held is not None or closing:
            self._write(capture, held or Part(announced[0]), timeline, last=closing)
        if closing:
            log.info("capture ended: id=%s bytes=%d", capture.id, capture.size_bytes)
            self._open = None

    def forget(self, ring: Ring) -> None:
        """A ring is not read any more."""
        for lane in range(len(ring.layout.lanes)):
            self._lanes.pop((ring.id, lane), None)

    def _wants(self, ring: Ring, lane: int) -> bool:
        entry = ring.layout.lanes[lane]
        name = f"{ring.layout.plugin}/{entry.name}"
        return (
            entry.count > 0
            and entry.period_ns < self._window_ns
            and any(fnmatchcase(name, pattern) for pattern in self._config.lanes)
        )

    def _parts(
        self, capture: OpenCapture, announced: Sequence[Announced], limits: Limits
    ) -> Iterator[Part]:
        """Of all lanes, those of the trigger's plugin first, within the capture's budget."""
        left_bytes = self._config.most_bytes - capture.size_bytes
        for one in announced:
            part = Part(one)
            for ring, lane, wire_lane in self._lanes_of(capture.cause.plugin, one):
                try:
                    for chunk, cells in chunks_of(
                        ring,
                        lane,
                        wire_lane,
                        self._position(capture, ring, lane),
                        capture.until_ns,
                        limits.block_cells,
                    ):
                        left_bytes -= chunk.size_bytes
                        if capture.cut or left_bytes < 0:
                            capture.cut = capture.cut or self._cut_text(ring, lane)
                            break
                        is_full = part.size_bytes + chunk.size_bytes > limits.most_bytes
                        if part.chunks and (is_full or part.cells + cells > limits.most_cells):
                            yield part
                            part = Part(one)
                        part.add(chunk, cells)
                except RingError as error:
                    limits.drop(ring, error)
            if part.chunks:
                yield part

    def _lanes_of(self, plugin: str, announced: Announced) -> Iterator[tuple[Ring, int, int]]:
        """(ring, lane in it, lane in the inventory), those of a plugin first."""
        for lanes in sorted(announced.lanes, key=lambda one: one.ring.layout.plugin != plugin):
            for lane, wire_lane in lanes.numbers:
                if not lanes.ring.closed and self._wants(lanes.ring, lane):
                    yield lanes.ring, lane, wire_lane

    def _position(self, capture: OpenCapture, ring: Ring, lane: int) -> int:
        key = (ring.id, lane)
        if key not in capture.positions:
            slots = ring.reader.lanes[lane][3]
            capture.positions[key] = first_position(ring.reader, lane, slots, capture.from_ns)
        return capture.positions[key]

    def _cut_text(self, ring: Ring, lane: int) -> str:
        name = f"{ring.layout.plugin}/{ring.layout.lanes[lane].name}"
        return f"cut at {format_bytes(self._config.most_bytes)} in lane {name[:NAME_CHARS]}"

    def _write(self, capture: OpenCapture, part: Part, timeline: Timeline, *, last: bool) -> None:
        label = capture.label(part, timeline, last=last)
        try:
            capture.size_bytes += self._writer.put_capture(part, timeline, label)
        except Refused as refusal:
            if not part.chunks:
                raise
            first, *second = part.halves() or [Part(part.announced)]
            if not second:
                log.error("rows of a capture cannot be sent: id=%s error=%s", capture.id, refusal)
                capture.cut = capture.cut or "some rows are over a limit of the wire"
                capture.keep(part)
            for half, ends in ((first, not second), *((one, True) for one in second)):
                self._write(capture, half, timeline, last=last and ends)
            return
        capture.parts += 1
        capture.keep(part)
        self.state.last = capture.summary(label)

    def _tell_suppressed(self, now_ns: int) -> None:
        if self._untold and now_ns - self._told_ns >= MINUTE_NS:
            self._tell(captures_suppressed(self._untold, self._config.per_hour))
            self._untold, self._told_ns = Counter(), now_ns
