"""CPU and memory of a tree of processes, by name; processes of one name are added up."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import psutil

from xinmai import clock


def cpu_by_name(pid: int) -> Counter[str]:
    """CPU nanoseconds so far of a process and all below it."""
    used: Counter[str] = Counter()
    for one in _tree(pid):
        with suppress(OSError, psutil.NoSuchProcess):
            used[one.name()] += clock.process_cpu_ns(one.pid)
    return used


def pss_by_name(pid: int) -> Counter[str]:
    """Proportional set size in bytes of a process and all below it."""
    used: Counter[str] = Counter()
    for one in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            used[one.name()] += int(one.memory_full_info().pss)
    return used


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]
