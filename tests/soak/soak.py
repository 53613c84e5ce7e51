"""Soak: a whole `xinmai up` under kills from a seeded schedule; nothing lost, nothing grows.

Usage: soak.py SECONDS [SEED]. The seed of a failing run repeats its schedule. Ends with 1 and says
what was wrong: the account, a process that did not come back, or growth of memory, descriptors or
threads in a process that lived through the second half.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from running import COLLECTOR, SAMPLER, SHIPPER, UpRun, eventually

VICTIMS = (SHIPPER, SHIPPER, "xm-host-link", "xm-host-host", SAMPLER, "mosquitto", COLLECTOR)
FIRST_KILL_S = 10.0
KILL_EVERY_S = (4.0, 12.0)
SETTLE_S = 15.0
"""Before the end: the last victim is back, and what it held is delivered."""
GROWTH_BYTES = {COLLECTOR: 96 * 2**20}
"""The collector's engine takes its caches with its first seal and first queries, minutes in."""
OTHER_GROWTH_BYTES = 16 * 2**20
GROWTH_COUNT = 8


@dataclass(frozen=True)
class Size:
    """What must not grow in one process."""

    rss_bytes: int
    fds: int
    threads: int


def sizes(run: UpRun) -> dict[int, tuple[str, Size]]:
    """By process id, with the process's name."""
    out = {}
    for one in run.tree():
        try:
            with one.oneshot():
                size = Size(one.memory_info().rss, one.num_fds(), one.num_threads())
                out[one.pid] = (one.name(), size)
        except psutil.NoSuchProcess:
            continue
    return out


def kill_on_schedule(run: UpRun, seconds: float, dice: random.Random) -> dict[str, int]:
    """Kill until shortly before the end; returns how often each was killed."""
    start_s = time.monotonic()
    killed: dict[str, int] = defaultdict(int)
    at_s = FIRST_KILL_S
    while at_s < seconds - SETTLE_S:
        time.sleep(max(0.0, start_s + at_s - time.monotonic()))
        name = dice.choice(VICTIMS)
        pid = eventually(partial(run.pid_of, name), f"process {name}", timeout_s=60)
        os.kill(pid, signal.SIGKILL)
        killed[name] += 1
        print(f"{time.monotonic() - start_s:6.1f} s  killed {name} ({pid})", flush=True)
        at_s += dice.uniform(*KILL_EVERY_S)
    time.sleep(max(0.0, start_s + seconds - time.monotonic()))
    return killed


def grown(before: dict[int, tuple[str, Size]], after: dict[int, tuple[str, Size]]) -> list[str]:
    """Processes of both that are larger than growth allows."""
    out = []
    for pid, (name, then) in before.items():
        if pid not in after:
            continue
        now = after[pid][1]
        if (
            now.rss_bytes - then.rss_bytes > GROWTH_BYTES.get(name, OTHER_GROWTH_BYTES)
            or now.fds - then.fds > GROWTH_COUNT
            or now.threads - then.threads > GROWTH_COUNT
        ):
            out.append(f"{name} grew: {then} -> {now}")
    return out


def main(argv: list[str]) -> int:
    """Run one soak."""
    seconds = float(argv[0])
    seed = int(argv[1]) if len(argv) > 1 else int(os.environ.get("XINMAI_SEED", "0")) or os.getpid()
    print(f"soak: {seconds:g} s, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="xinmai-soak-") as base:
        run = UpRun(Path(base))
        run.start()
        try:
            eventually(lambda: run.pid_of(SHIPPER), "the agent")
            dice = random.Random(seed)
            kill_on_schedule(run, seconds / 2, dice)
            before = sizes(run)
            kill_on_schedule(run, seconds / 2, dice)
            problems = grown(before, sizes(run))
            code, summary, stderr = run.stop()
        finally:
            run.abandon()
    print(summary, flush=True)
    if code or summary["samples_taken"] != summary["samples_stored"] + summary["samples_lost"]:
        problems.append(f"account does not close, exit code {code}: {stderr}")
    if summary.get("samples_lost"):
        problems.append(f"lost: {summary['lost_by_reason']}")
    for problem in problems:
        print(f"soak, seed {seed}: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
