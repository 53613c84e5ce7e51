"""The collector's directory: sealed sets, what the newest of them knows, age and size limits."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from xinmai.collector import compaction, sets
from xinmai.collector.sets import Contents, SealedSet

log = logging.getLogger(__name__)

GRACE_NS: Final = 90 * 10**9
"""A replaced set stays this long for queries that have begun; they end after 30 s."""
DAY_NS: Final = 86_400 * 10**9
FILESYSTEM_SHARE: Final = 0.8


class Layout:
    """Where things lie in a store directory."""

    def __init__(self, store_dir: Path) -> None:
        self.root = store_dir
        self.log = store_dir / "log"
        self.data = store_dir / "data"
        self.inventories = store_dir / "inventories"
        self.series = store_dir / "series.jsonl"
        self.bad = store_dir / "bad"
        self.scratch = store_dir / "scratch"
        self.lock = store_dir / "lock"
        self.identity = store_dir / "collector.id"
        self.address = store_dir / "collector.json"


class Store:
    """The sealed sets of one directory.

    `sets` is replaced as a whole, never changed: whoever took it keeps a consistent view.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.sets: Sequence[SealedSet] = ()
        self._dead: list[tuple[int, SealedSet]] = []

    def open(self) -> None:
        """Read the directory and finish what a crash interrupted; damaged sets go to `bad`."""
        self.layout.data.mkdir(parents=True, exist_ok=True)
        sets.sweep(self.layout.data)
        alive, dead, damaged = sets.list_sets(self.layout.data)
        for path in damaged:
            set_aside(self.layout, path)
        for one in dead:
            sets.remove(one)
        shutil.rmtree(self.layout.scratch, ignore_errors=True)
        self.sets = tuple(alive)

    @property
    def covered(self) -> int:
        """Log segments up to this number are sealed."""
        return max((one.last for one in self.sets), default=0)

    def seal(self, first: int, last: int, contents: Contents, sealed_ns: int) -> SealedSet:
        """Write a set; blocks. It belongs to the store when `add` has taken it."""
        return sets.write_set(self.layout.data, first, last, contents, sealed_ns=sealed_ns)

    def add(self, one: SealedSet) -> None:
        """Take a new set, which may cover older ones."""
        self.sets = tuple(sets.living([*self.sets, one]))

    def due(self, now_ns: int) -> list[SealedSet]:
        """What should be merged now."""
        return compaction.due(self.sets, now_ns)

    def merge(self, sources: Sequence[SealedSet]) -> SealedSet:
        """Merge; blocks."""
        return compaction.merge(self.layout.data, sources, self.layout.scratch)

    def replace(self, sources: Sequence[SealedSet], merged: SealedSet, now_ns: int) -> None:
        """Take a merged set; its sources are removed later."""
        self.add(merged)
        self._dead.extend((now_ns + GRACE_NS, one) for one in sources)

    def over_limits(self, now_ns: int, retain_days: float, retain_bytes: int) -> list[SealedSet]:
        """The oldest sets that age or size ask for; never the newest, which has the ledger."""
        oldest_ns = now_ns - int(retain_days * DAY_NS)
        excess = sets.total_bytes(self.sets) - self._budget_bytes(retain_bytes)
        leaving: list[SealedSet] = []
        for one in self.sets[:-1]:
            age_ns = min(one.facts.max_ns, one.facts.sealed_ns) or one.facts.sealed_ns
            if excess <= 0 and age_ns >= oldest_ns:
                break
            leaving.append(one)
            excess -= one.bytes
        return leaving

    def _budget_bytes(self, retain_bytes: int) -> int:
        """What sets may take: as configured, but never a filesystem to its brim.

        Of its size, not of what is free: what others write must not cost history.
        """
        stat = os.statvfs(self.layout.data)
        return min(retain_bytes, int(stat.f_blocks * stat.f_frsize * FILESYSTEM_SHARE))

    def forget(self, leaving: Sequence[SealedSet], now_ns: int) -> None:
        """Take sets out of sight; they are removed later."""
        self.sets = tuple(one for one in self.sets if one not in leaving)
        self._dead.extend((now_ns + GRACE_NS, one) for one in leaving)

    def buried(self, now_ns: int) -> list[SealedSet]:
        """Sets whose grace is over; the caller removes them."""
        over = [one for due_ns, one in self._dead if due_ns <= now_ns]
        self._dead = [(due_ns, one) for due_ns, one in self._dead if due_ns > now_ns]
        return over


def newest_state(held: Sequence[SealedSet], parse: Callable[[Mapping[str, Any]], None]) -> bool:
    """Hand the newest readable state to `parse`, which raises for one it cannot use."""
    for one in reversed(held):
        try:
            parse(one.state())
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("state of a sealed set is damaged: path=%s error=%s", one.path, error)
            continue
        return True
    return False


def set_aside(layout: Layout, path: Path) -> None:
    """Move what is damaged out of the way; it is never read again, nor deleted."""
    layout.bad.mkdir(parents=True, exist_ok=True)
    target = layout.bad / path.name
    for attempt in range(1, 1000):
        if not target.exists():
            break
        target = layout.bad / f"{path.name}.{attempt}"
    path.rename(target)
