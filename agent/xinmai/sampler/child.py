"""The fork that makes a host: nothing of its parent's is open in it (CTL-4).

The parent has loaded the framework and no plugin, and runs no thread (B9).
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from xinmai.channel import Channel
from xinmai.manifest import PluginSource
from xinmai.sampler.host import host_main
from xinmai.sampler.leaving import SIGNALS
from xinmai.sampler.settings import HostSettings


def fork_host(
    source: PluginSource, settings: HostSettings, output_fd: int = 2, *, verbose: bool = True
) -> tuple[int, Channel]:
    """Start a host; returns its process id and the supervisor's end of its control socket.

    Args:
        source, settings: see `host_main`.
        output_fd: where it and its library print.
        verbose: see `host_main`.

    Raises:
        OSError: no process or no descriptor is to be had.
    """
    ours, theirs = Channel.pair()
    # A signal between fork and the host's own handlers would reach the parent's event loop.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _be_host(source, settings, theirs, output_fd, verbose=verbose)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    return pid, ours


def _be_host(
    source: PluginSource,
    settings: HostSettings,
    channel: Channel,
    output_fd: int,
    *,
    verbose: bool,
) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        # A group of its own, so that what a library leaves behind ends with it (B1).
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        fd = fcntl.fcntl(channel.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
        os.dup2(output_fd, 2)
        _close_all_but(fd)
        _quiet_streams()
        code = host_main(source, settings, Channel.adopt(fd), verbose=verbose)
    finally:
        os._exit(code)


def _close_all_but(keep: int) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, no paths
        fd = int(name)
        if fd > 2 and fd != keep:
            with suppress(OSError):
                os.close(fd)


def _quiet_streams() -> None:
    """What a plugin or its library prints goes to the log (B5); nothing comes from a terminal."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr = os.fdopen(
        2, "w", buffering=1, errors="backslashreplace", closefd=False
    )
