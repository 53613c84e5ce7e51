"""Mounted filesystems that sit on a device, and their space."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import psutil

from xinmai.api import Reading


@dataclass(frozen=True, slots=True)
class Filesystem:
    """One mounted filesystem; a device mounted in several places counts once."""

    device: str
    mountpoint: str
    type: str

    @property
    def attributes(self) -> dict[str, str]:
        """By catalogue name."""
        return {
            "system.device": self.device,
            "system.filesystem.mountpoint": self.mountpoint,
            "system.filesystem.type": self.type,
        }


def mounted(exclude: Iterable[str]) -> list[Filesystem]:
    """Filesystems on devices, by mount point; network and memory filesystems are none.

    A dead network filesystem hangs whoever asks for its space, so none is ever asked.
    """
    patterns = tuple(exclude)
    by_device: dict[str, Filesystem] = {}
    for part in sorted(psutil.disk_partitions(all=False), key=lambda part: part.mountpoint):
        if not any(fnmatchcase(part.mountpoint, pattern) for pattern in patterns):
            found = Filesystem(part.device, part.mountpoint, part.fstype)
            by_device.setdefault(part.device, found)
    return sorted(by_device.values(), key=lambda entry: entry.mountpoint)


def reader(path: Path) -> Callable[[], Sequence[Reading]]:
    """Reads size, used, free, reserved; then inodes free and used."""

    def read() -> Sequence[Reading]:
        space = psutil.disk_usage(str(path))
        inodes = os.statvfs(path)
        reserved = space.total - space.used - space.free
        return [
            space.total,
            space.used,
            space.free,
            reserved,
            inodes.f_ffree,
            inodes.f_files - inodes.f_ffree,
        ]

    return read
