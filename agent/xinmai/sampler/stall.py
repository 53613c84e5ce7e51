"""What hangs in a host, told from its ring's header: the host itself cannot say it (A1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xinmai.api import Series
from xinmai.clock import SECOND_NS
from xinmai.layout import LaneLayout, Layout
from xinmai.manifest import Manifest
from xinmai_native import RingReader


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long is too long.

    Args:
        stuck_ns: a call; told to the operator.
        start_ns: from the fork to the first layout.
        abandon: a host is left to itself after so many times the deadline it missed.
        grace_ns: between SIGTERM and whatever comes next.
    """

    stuck_ns: int = 2 * SECOND_NS
    start_ns: int = 10 * SECOND_NS
    abandon: int = 4
    grace_ns: int = 5 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Stall:
    """A call, or a whole host, that does not come back.

    Args:
        text: in the operator's words.
        deadline_ns, over_ns: what was allowed, and how long it has been.
        alone: the rest of the host goes on.
        key: what another host should not touch, "" where that helps nobody.
        series: what then reads as timeout.
        lane, call: where, "" where the whole host hangs.
    """

    text: str
    deadline_ns: int
    over_ns: int
    alone: bool = False
    key: str = ""
    series: Sequence[Series] = ()
    lane: str = ""
    call: str = ""

    def at(self, now_ns: int) -> dict[str, object]:
        """As the shipper is told, seen at this moment."""
        return {"lane": self.lane, "call": self.call, "since_ns": now_ns - self.over_ns}


def oldest_call_ns(layout: Layout, reader: RingReader) -> int:
    """Since when the oldest call under way runs, 0 where none does."""
    states = map(reader.state, range(len(layout.lanes)))
    return min((state.since_ns for state in states if state.call >= 0), default=0)


def find_stall(
    manifest: Manifest, layout: Layout, reader: RingReader, pid: int, now_ns: int, after_ns: int
) -> Stall | None:
    """The worst call that is under way for longer than `after_ns`: one that holds all the rest."""
    stalls = list(_stalls(manifest, layout, reader, pid, now_ns, after_ns))
    return min(stalls, key=lambda stall: stall.alone, default=None)


def _stalls(
    manifest: Manifest, layout: Layout, reader: RingReader, pid: int, now_ns: int, after_ns: int
) -> Iterator[Stall]:
    for index, lane in enumerate(layout.lanes):
        state = reader.state(index)
        if state.call < 0 or not state.since_ns or now_ns - state.since_ns <= after_ns:
            continue
        call = lane.calls[state.call] if state.call < len(lane.calls) else "?"
        over_ns = now_ns - state.since_ns
        probes = bool(lane.cost) and not lane.name.startswith("poll:")
        kernel = _kernel_state(pid, f"xm-lane-{index}" if probes else "")
        key, series = _to_leave_out(manifest, layout, lane, state.call)
        yield Stall(
            text=f"stuck in {call}, lane {lane.name}, {over_ns // SECOND_NS} s, {kernel}",
            deadline_ns=after_ns,
            over_ns=over_ns,
            alone=probes and manifest.threading == "free",
            key=key,
            series=series,
            lane=lane.name,
            call=call,
        )


def _to_leave_out(
    manifest: Manifest, layout: Layout, lane: LaneLayout, call: int
) -> tuple[str, Sequence[Series]]:
    """A vendor's device hangs as a whole; of files and file systems it is the one that hangs."""
    if call >= len(lane.owners):
        return "", ()
    if manifest.vendor and lane.owners[call]:
        owner = lane.owners[call]
        return owner, [series for series in layout.series if series.hw_id == owner]
    return lane.calls[call], ()


def last_call(layout: Layout, reader: RingReader) -> str:
    """The call that a host which has ended never came back from, "" for none."""
    for index, lane in enumerate(layout.lanes):
        call = reader.state(index).call
        if 0 <= call < len(lane.calls):
            return lane.calls[call]
    return ""


def _kernel_state(pid: int, thread: str) -> str:
    """Of the thread that bears a name, else of the process: D cannot be helped, S may."""
    try:
        tasks = [task for task in Path(f"/proc/{pid}/task").iterdir() if _name(task) == thread]
        task = tasks[0] if tasks else Path(f"/proc/{pid}")
        text = (task / "stat").read_text("ascii", errors="replace")
        return f"kernel state {text.rpartition(')')[2].split()[0]}"
    except (OSError, IndexError):
        return "process gone"


def _name(task: Path) -> str:
    return (task / "comm").read_text("utf-8", errors="replace").strip()
