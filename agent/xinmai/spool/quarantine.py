"""The folder bad/: damaged and foreign files are set aside there, within bounds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

BAD_FILES = 16
BAD_BYTES = 32 * 2**20


class Quarantine:
    """Set-aside files of one spool; the oldest go first.

    Args:
        directory: of the spool; `bad` in it is made when needed.
        limit_bytes: of all files together; what is longer is not kept.
    """

    def __init__(self, directory: Path, limit_bytes: int = BAD_BYTES) -> None:
        self._directory = directory / "bad"
        self._limit_bytes = limit_bytes

    def keep_copy(self, path: Path) -> None:
        """Give the file a second name in bad/, where the filesystem has hard links."""
        try:
            os.link(path, self._free_name(path.name))
        except OSError:
            return
        self._trim()

    def move(self, path: Path) -> None:
        """Move a file there; where that fails it stays, and is not used."""
        try:
            path.rename(self._free_name(path.name))
        except OSError:
            return
        self._trim()

    def purge(self) -> int:
        """Remove everything; says how many bytes that was."""
        freed = sum(size for _, size, _ in self._entries())
        shutil.rmtree(self._directory, ignore_errors=True)
        return freed

    def files(self) -> int:
        """How many are kept."""
        return len(self._entries())

    def _free_name(self, name: str) -> Path:
        self._directory.mkdir(exist_ok=True)
        number, path = 0, self._directory / name
        while os.path.lexists(path):
            number += 1
            path = self._directory / f"{name}.{number}"
        return path

    def _trim(self) -> None:
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        while entries and (len(entries) > BAD_FILES or total > self._limit_bytes):
            _, size, path = entries.pop(0)
            total -= size
            _remove(path)

    def _entries(self) -> list[tuple[int, int, Path]]:
        try:
            stats = [(path, path.lstat()) for path in self._directory.iterdir()]
        except OSError:
            return []
        return [(stat.st_ctime_ns, stat.st_size, path) for path, stat in stats]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
