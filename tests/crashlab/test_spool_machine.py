"""Any sequence of operations, with a kill or a power cut before any change to the disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from agent.spool.helpers import Identity, covered, held, open_spool, put, segments
from crashlab.crashdisk import CrashDisk
from xinmai.spool.spool import Spool
from xinmai.wire.messages import Loss
from xinmai.wire.ranges import RangeSet

MEMORY = Path("/dev/shm")

crash_points = st.none() | st.integers(0, 12)
power = st.none() | st.integers(0, 2**16)


def small_spool(directory: Path) -> Spool:
    return open_spool(directory, budget_bytes=16384, segment_bytes=2048)


class SpoolUnderCrashes(RuleBasedStateMachine):
    """Model: identities that `append` returned, and what became of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        base = MEMORY if MEMORY.is_dir() else None
        name = self.stack.enter_context(tempfile.TemporaryDirectory(dir=base))
        self.root, self.lives = Path(name), 0
        self.given: set[Identity] = set()
        self.synced: set[Identity] = set()
        self.stored: set[Identity] = set()
        self.lost: set[Identity] = set()
        self.shipped: set[Identity] = set()
        self.losses: list[Loss] = []
        self.open(self.root / "0")

    def open(self, directory: Path) -> None:
        self.disk = CrashDisk(directory, self.root / str(self.lives + 1))
        self.lives += 1
        self.spool = small_spool(directory)
        self.disk.everything_is_durable()

    def teardown(self) -> None:
        self.spool.close()
        self.stack.close()

    def under_crash(
        self, point: int | None, seed: int | None, operation: Callable[[], None]
    ) -> None:
        """Run it; if the crash came, go on with what that left."""
        at_crash: list[set[Identity]] = []

        def remember() -> None:
            at_crash.extend(map(set, (self.given, self.synced, self.shipped)))

        if point is not None:
            self.disk.arm(point, seed, remember)
        with self.disk.watching():
            operation()
        self.disk.disarm()
        if not self.disk.crashed:
            self.verify(self.given)
            return
        self.spool.close()
        shutil.rmtree(self.disk.directory)
        self.open(self.disk.target)
        given, synced, self.shipped = at_crash
        self.losses = []
        self.verify(given if seed is None else synced)
        assert self.spool.next_identity() not in given, "an identity came again"
        self.synced = set(held(self.spool))
        self.given = self.synced | self.stored | self.lost | self.shipped

    def put(self, size: int) -> None:
        """Append, and sync once a segment: what is declared in between may be lost (SPOOL-33)."""
        before = segments(self.disk.directory)[-1:]
        self.given.add(put(self.spool, size))
        if segments(self.disk.directory)[-1:] != before:
            self.spool.sync()
            self.synced = set(self.given)

    def verify(self, safe: set[Identity]) -> None:
        """Everything safe is there, stored, or declared; nothing is both there and declared."""
        there = held(self.spool)
        assert len(set(there)) == len(there)
        self.losses += self.spool.take_losses()
        self.lost = covered(self.losses)
        assert self.lost.isdisjoint(there)
        assert self.shipped.isdisjoint(there)
        assert safe <= {*there, *self.stored, *self.lost, *self.shipped}

    @rule(size=st.sampled_from([16, 100, 700]), point=crash_points, seed=power)
    def append(self, size: int, point: int | None, seed: int | None) -> None:
        def operation() -> None:
            assert self.spool.next_identity() not in self.given
            self.put(size)

        self.under_crash(point, seed, operation)

    @rule(count=st.integers(5, 40), point=crash_points, seed=power)
    def append_many(self, count: int, point: int | None, seed: int | None) -> None:
        def operation() -> None:
            for _ in range(count):
                self.put(150)

        self.under_crash(point, seed, operation)

    @rule(point=crash_points, seed=power)
    def sync(self, point: int | None, seed: int | None) -> None:
        def operation() -> None:
            self.spool.sync()
            self.synced = set(self.given)

        self.under_crash(point, seed, operation)

    @rule(times=st.integers(1, 5), point=crash_points, seed=power)
    def sync_on_a_failing_disk(self, times: int, point: int | None, seed: int | None) -> None:
        def operation() -> None:
            self.disk.failing_syncs = times
            with suppress(OSError):
                self.spool.sync()
            self.disk.failing_syncs = 0
            self.spool.sync()
            self.synced = set(self.given)

        self.under_crash(point, seed, operation)

    @rule(share=st.floats(0, 1), point=crash_points, seed=power)
    def store(self, share: float, point: int | None, seed: int | None) -> None:
        def operation() -> None:
            waiting = held(self.spool)
            told = waiting[: round(len(waiting) * share)]
            self.stored.update(told)
            for queue in {queue for queue, _ in told}:
                seqs = RangeSet([(seq, seq) for name, seq in self.stored if name == queue])
                self.spool.mark_stored(queue, seqs.ranges)

        self.under_crash(point, seed, operation)

    @rule(point=crash_points, seed=power)
    def ship(self, point: int | None, seed: int | None) -> None:
        def operation() -> None:
            self.spool.sync()
            self.synced = set(self.given)
            self.shipped |= covered(self.losses)
            self.spool.forget_losses(self.losses)
            self.losses = []

        self.under_crash(point, seed, operation)

    @rule(point=crash_points, seed=power)
    def reopen(self, point: int | None, seed: int | None) -> None:
        def operation() -> None:
            self.spool.close()
            self.losses = []
            self.spool = small_spool(self.disk.directory)

        self.under_crash(point, seed, operation)
        if not self.disk.crashed:
            self.synced = set(self.given)


TestSpoolUnderCrashes = SpoolUnderCrashes.TestCase
TestSpoolUnderCrashes.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
for mark in (
    pytest.mark.fault("E4"),
    pytest.mark.fault("E10"),
    *map(pytest.mark.statement, ("SPOOL-10", "SPOOL-34")),
):
    TestSpoolUnderCrashes = mark(TestSpoolUnderCrashes)
