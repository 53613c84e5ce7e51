"""A disk that can be stopped between two system calls, as a kill or a power cut would."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

CHANGES = ("pwritev", "ftruncate", "truncate", "unlink", "rename", "replace", "link", "open")
Inode = tuple[int, int]


class CrashDisk:
    """Watches one directory; before the n-th change it copies it, as the crash would leave it.

    Args:
        directory: watched.
        target: where the copy goes.
    """

    def __init__(self, directory: Path, target: Path) -> None:
        self.directory, self.target = directory, target
        self._durable: dict[Inode, int] = {}
        self._names: dict[str, Inode] = {}
        self.failing_syncs = 0
        """So many fail; what the file was given since the last good one never becomes durable."""
        self._given_up: set[Inode] = set()
        self._countdown = -1
        self._spoil: Callable[[], None] = lambda: None
        self._remember = self._spoil
        self.crashed = False

    def arm(self, change: int, power_seed: int | None, remember: Callable[[], None]) -> None:
        """Crash before that change from now, calling `remember`; a seed makes it a power cut."""
        self._countdown, self._remember = change, remember
        self._spoil = (lambda: None) if power_seed is None else lambda: self._cut(power_seed)

    def disarm(self) -> None:
        self._countdown = -1

    @contextmanager
    def watching(self) -> Iterator[None]:
        calls = {name: self._counted(getattr(os, name)) for name in CHANGES}
        calls |= {"fdatasync": self._sync_file, "fsync": self._sync}
        with ExitStack() as stack:
            for name, call in calls.items():
                stack.enter_context(mock.patch.object(os, name, call))
            yield

    def everything_is_durable(self) -> None:
        for path in self.directory.glob("*.seg"):
            self._durable[_inode(path)] = path.stat().st_size
        self._note_names()

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self._tick()
            return call(*args, **options)

        return counted

    def _tick(self) -> None:
        if self._countdown == 0:
            self._countdown = -1
            shutil.copytree(self.directory, self.target)
            self._spoil()
            self._remember()
            self.crashed = True
        elif self._countdown > 0:
            self._countdown -= 1

    def _sync_file(self, descriptor: int) -> None:
        self._tick()
        stat = os.fstat(descriptor)
        inode = (stat.st_dev, stat.st_ino)
        if self.failing_syncs:
            self.failing_syncs -= 1
            self._given_up.add(inode)
            raise OSError(errno.EIO, "lost pages")
        if inode not in self._given_up:
            self._durable[inode] = stat.st_size

    def _sync(self, descriptor: int) -> None:
        self._tick()
        if Path(f"/proc/self/fd/{descriptor}").readlink() == self.directory:
            self._note_names()

    def _note_names(self) -> None:
        self._names = {path.name: _inode(path) for path in self.directory.glob("*.seg")}

    def _cut(self, seed: int) -> None:
        """Take from the copy what was never made durable: tails, stretches, whole files."""
        chance = random.Random(seed)
        for path in sorted(self.directory.glob("*.seg")):
            copy, inode = self.target / path.name, _inode(path)
            durable = self._durable.get(inode, 0)
            data = bytearray(copy.read_bytes())
            if len(data) > durable:
                del data[chance.randint(durable, len(data)) :]
                start = chance.randint(durable, len(data))
                data[start : start + 100] = bytes(len(data[start : start + 100]))
                copy.write_bytes(data)
            if self._names.get(path.name) != inode and chance.random() < 0.5:
                copy.unlink()


def _inode(path: Path) -> Inode:
    stat = path.stat()
    return (stat.st_dev, stat.st_ino)
