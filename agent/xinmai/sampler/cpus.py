"""Which CPUs the agent may use: those kept for a job's threads are not for it (G7).

The mask that is set here is inherited by hosts and lanes. A cpuset that shrinks later needs no
care: the kernel moves the tasks, and gives the mask back when the set grows again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from pathlib import Path

from xinmai.quantities import parse_cpus

_KEPT = ("isolated", "nohz_full")
"""Below sys/devices/system/cpu; what isolcpus= and nohz_full= of the kernel's command line name."""

log = logging.getLogger("xinmai.agent")


def housekeeping(root: Path) -> frozenset[int]:
    """CPUs that this process may use and that nobody set aside; empty where there are none.

    Args:
        root: prefix of the kernel's files, as `node.root`.
    """
    kept: set[int] = set()
    for name in _KEPT:
        kept |= _listed(root / "sys/devices/system/cpu" / name)
    return frozenset(os.sched_getaffinity(0)) - kept


def _listed(path: Path) -> frozenset[int]:
    """Empty where the kernel has no such file, or, as nohz_full without the option, no list."""
    try:
        return parse_cpus(path.read_text("ascii", errors="replace").strip())
    except (OSError, ValueError):
        return frozenset()


def settle(wanted: Collection[int], root: Path) -> None:
    """Confine this process, and what it forks, to its CPUs; kept as it is where none is left.

    Args:
        wanted: as configured, empty for the housekeeping CPUs.
        root: see `housekeeping`.
    """
    allowed = os.sched_getaffinity(0)
    cpus = (allowed & set(wanted)) if wanted else housekeeping(root)
    if not cpus:
        what = "none of sampler.cpus may be used here" if wanted else "every CPU is isolated"
        log.warning("CPUs are left as they are: %s; allowed=%s", what, sorted(allowed))
        return
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        log.warning("CPUs are left as they are: cpus=%s error=%s", sorted(cpus), error)
