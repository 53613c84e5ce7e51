"""CPU of a tree of processes, by name."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import psutil

from xinmai import clock


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_by_name(pid: int) -> Counter[str]:
    """CPU nanoseconds of a tree so far; processes of one name are added up."""
    used: Counter[str] = Counter()
    for one in tree(pid):
        with suppress(OSError, psutil.NoSuchProcess):
            used[one.name()] += clock.process_cpu_ns(one.pid)
    return used
