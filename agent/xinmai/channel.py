"""The control protocol: msgpack messages with descriptors over a Unix SEQPACKET socket.

Spec 005. One message is one packet; a body too large for a packet travels in a memfd beside it.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from xinmai.errors import ProtocolError

VERSION = 1
PACKET_BYTES = 64 * 1024
BODY_BYTES = 16 * 2**20
MAX_FDS = 4
_MAX_ITEMS = 2**17
"""Of one list or map: a list is allocated at the length it claims."""
_IN_MEMFD = "_body_in_fd"


@dataclass(frozen=True, slots=True)
class Received:
    """One message; whoever takes it owns its descriptors."""

    kind: str
    body: Mapping[str, Any]
    fds: list[int] = field(default_factory=list)


class Channel:
    """One end of a control socket; never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    @classmethod
    def adopt(cls, fd: int) -> Channel:
        """Take over an inherited descriptor."""
        return cls(socket.socket(fileno=fd))

    @classmethod
    def connect(cls, path: Path) -> Channel:
        """Connect to a listening socket.

        Raises:
            OSError: nobody listens there.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # A listener that accepts nobody would let a blocking connect wait for ever.
            sock.setblocking(False)
            sock.connect(str(path))
        except OSError:
            sock.close()
            raise
        return cls(sock)

    def fileno(self) -> int:
        """For select, poll and event loops."""
        return self._sock.fileno()

    def send(
        self, kind: str, body: Mapping[str, Any] | None = None, fds: Sequence[int] = ()
    ) -> None:
        """Send one message.

        Raises:
            BlockingIOError: the peer does not read; nothing was sent.
            ConnectionError: the peer is gone.
            ProtocolError: the body or the number of descriptors is over the limit.
        """
        if len(fds) > MAX_FDS:
            raise ProtocolError(f"message {kind} with {len(fds)} descriptors, {MAX_FDS} fit")
        packed = msgpack.packb([VERSION, kind, dict(body or {})])
        if len(packed) <= PACKET_BYTES:
            self._send(packed, fds)
            return
        if len(packed) > BODY_BYTES:
            raise ProtocolError(f"message {kind} of {len(packed)} bytes is over {BODY_BYTES}")
        with os.fdopen(os.memfd_create("xm-message", os.MFD_CLOEXEC), "wb") as spill:
            spill.write(packed)
            spill.flush()
            self._send(msgpack.packb([VERSION, _IN_MEMFD, {}]), [spill.fileno(), *fds])

    def _send(self, packed: bytes, fds: Sequence[int]) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._sock.sendmsg([packed], ancillary, socket.MSG_NOSIGNAL)

    def receive(self) -> Received | None:
        """The next message, None when none waits.

        Raises:
            EOFError: the peer is gone.
            ProtocolError: not our protocol or another version of it.
        """
        space = socket.CMSG_SPACE((MAX_FDS + 1) * array.array("i").itemsize)
        try:
            packed, ancillary, flags, _ = self._sock.recvmsg(
                PACKET_BYTES + 1, space, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except ConnectionError as error:
            raise EOFError(str(error)) from error
        fds = _descriptors(ancillary)
        if not packed:
            _close_all(fds)
            raise EOFError("the other end is closed")
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ProtocolError("message truncated")
            return _open_message(packed, fds)
        except BaseException:
            _close_all(fds)
            raise

    def has_input(self) -> bool:
        """Whether `receive` would give a message or say that the peer is gone; takes nothing."""
        return bool(select.select([self._sock], [], [], 0)[0])

    def signal_on_input(self) -> None:
        """Have SIGIO sent to this process when a message comes or the peer goes."""
        fd = self._sock.fileno()
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)

    def peer_uid(self) -> int:
        """User id of the process at the other end, by SO_PEERCRED."""
        size = 3 * array.array("i").itemsize
        raw = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return array.array("i", raw)[1]

    def close(self) -> None:
        """Close this end."""
        self._sock.close()


def _open_message(packed: bytes, fds: list[int]) -> Received:
    kind, body = _parse(packed)
    if kind == _IN_MEMFD:
        if not fds:
            raise ProtocolError("message body is missing its descriptor")
        spill = fds.pop(0)
        try:
            kind, body = _parse(_read_spill(spill))
        finally:
            os.close(spill)
    return Received(kind, body, fds)


def _read_spill(spill: int) -> bytes:
    try:
        # Only memory has seals: a pipe, a device or a file elsewhere could block the reader.
        fcntl.fcntl(spill, fcntl.F_GET_SEALS)
        size = os.fstat(spill).st_size
        if size > BODY_BYTES:
            raise ProtocolError(f"message body of {size} bytes is over {BODY_BYTES}")
        return os.pread(spill, size, 0)
    except OSError as error:
        raise ProtocolError(f"message body cannot be read: {error}") from error


def _parse(packed: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        version, kind, body = msgpack.unpackb(
            packed, strict_map_key=True, max_array_len=_MAX_ITEMS, max_map_len=_MAX_ITEMS
        )
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise ProtocolError(f"not a control message: {error!r}") from error
    if type(version) is not int or version != VERSION:
        raise ProtocolError(f"control protocol {version!r:.40}, this side speaks {VERSION}")
    if not isinstance(kind, str) or not isinstance(body, dict):
        raise ProtocolError("not a control message: wrong shape")
    return kind, body


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        with suppress(OSError):
            os.close(fd)


def listen(path: Path) -> socket.socket:
    """A listening control socket, group-readable, replacing a dead one at the same place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.bind(str(path))
        path.chmod(0o660)
        sock.listen(8)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
