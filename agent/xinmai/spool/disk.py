"""What the spool asks of a filesystem beyond reading and writing."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
from pathlib import Path

from xinmai.errors import SpoolError

_KEEP_SIZE = 1
_FLOOR_BYTES = 64 * 2**20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BROKEN = frozenset({errno.EIO, errno.ENOENT, errno.EUCLEAN, errno.EBADMSG, errno.ESTALE})


def is_full(error: OSError) -> bool:
    """Whether an error says that space is missing."""
    return error.errno in _FULL


def is_lasting(error: BaseException | None) -> bool:
    """Whether data that a read could not get is gone, rather than this process short of means."""
    return not isinstance(error, OSError) or error.errno in _BROKEN


def reserve(descriptor: int, size: int) -> bool:
    """Allocate blocks up to `size` behind the end of the file, whose size stays what was written.

    False where the filesystem cannot. `os.posix_fallocate` would not do: it grows the file, so
    that after a power cut written and unwritten bytes could not be told apart.

    Raises:
        OSError: no space.
    """
    if ctypes.sizeof(ctypes.c_long) != 8:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    number, flags = ctypes.c_int(descriptor), ctypes.c_int(_KEEP_SIZE)
    if libc.fallocate(number, flags, ctypes.c_int64(0), ctypes.c_int64(size)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _FULL:
        raise OSError(code, os.strerror(code))
    return False


def free_bytes(directory: Path) -> int:
    """Bytes an unprivileged process can still allocate on the directory's filesystem."""
    stat = os.statvfs(directory)
    return stat.f_bavail * stat.f_frsize


def default_floor_bytes(directory: Path) -> int:
    """64 MiB, or 5 % of a filesystem that is smaller than 1.25 GiB."""
    stat = os.statvfs(directory)
    return min(_FLOOR_BYTES, stat.f_blocks * stat.f_frsize // 20)


def sync_directory(directory: Path) -> None:
    """Make names made and removed in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_queue_id() -> str:
    """16 random hex digits."""
    return secrets.token_hex(8)


def new_instance_id() -> str:
    """32 random hex digits."""
    return secrets.token_hex(16)


class DirectoryLock:
    """One owner of a directory at a time; ends with the process whatever becomes of it.

    Raises:
        SpoolError: another process owns it, or it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, flags, 0o640)
        except OSError as error:
            raise SpoolError(f"cannot use spool directory {directory}: {error}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = _owner_of(self._descriptor)
            os.close(self._descriptor)
            raise SpoolError(
                f"spool directory {directory} is in use by {owner}: "
                "stop that agent or give this one a directory of its own"
            ) from error
        self._sign()

    def _sign(self) -> None:
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except OSError:
            # A full disk: the pid is only for the message of a second owner.
            return

    def release(self) -> None:
        """Let another owner in."""
        os.close(self._descriptor)


def _owner_of(descriptor: int) -> str:
    text = os.pread(descriptor, 32, 0).strip()
    return f"process {int(text)}" if text.isdigit() else "another process"
