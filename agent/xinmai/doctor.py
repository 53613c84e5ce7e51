"""What is missing on this machine, and the fix. Looks, never changes anything.

A check that cannot tell is skipped and says why: hardware that is not here is no fault.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import platform
import re
import shutil
import socket
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from xinmai.broker import find_broker
from xinmai.clocksync import ClockSync, clock_sync
from xinmai.config import Resolution
from xinmai.config_model import BrokerConfig, Config, PluginConfig
from xinmai.errors import ConfigError, PluginError, Unavailable
from xinmai.manifest import Manifest, MissingNeed, PluginSource, check_config, needs_met
from xinmai.quantities import format_bytes

State = Literal["pass", "warn", "fail", "skip"]

PYTHON_FLOOR = (3, 11)
KERNEL_FULL, KERNEL_FLOOR = (5, 10), (4, 19)
CONNECT_TIMEOUT_S = 2.0
FREE_FLOOR_BYTES = 64 * 2**20
_F_SEAL_FUTURE_WRITE = 0x10
_BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LIBRARY_OR_RIGHT = ("libraries", "groups", "capabilities")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the diagnosis.

    Args:
        id: stable, for programs.
        fix: what a person can do, "" where nothing is to be done.
    """

    id: str
    state: State
    message: str
    fix: str = ""


def diagnose(resolution: Resolution, sources: Mapping[str, PluginSource]) -> Iterator[Check]:
    """Every check, cheap ones first; with a wrong configuration its right part is looked at."""
    config = resolution.config
    yield check_python(sys.version_info[:3])
    yield check_native()
    yield check_kernel(platform.release(), has_future_write_seal())
    yield check_config_files(resolution)
    yield check_directory("state_dir", config.node.state_dir, "node.state_dir")
    yield check_directory("run_dir", config.node.run_dir, "node.run_dir")
    yield check_disk(config, free_bytes(config.node.state_dir))
    yield check_clock(clock_sync())
    yield check_broker_program(broker_program())
    yield check_broker(config.broker, chosen="broker.url" in resolution.settings)
    for source in sources.values():
        yield check_plugin(source, config)


def check_python(version: Sequence[int]) -> Check:
    """The interpreter that runs this."""
    text = f"Python {'.'.join(map(str, version))}"
    if tuple(version[:2]) >= PYTHON_FLOOR:
        return Check("python", "pass", text)
    return Check("python", "fail", f"{text} is too old", "install Python 3.11 or newer")


def check_native() -> Check:
    """The C extension, by the call every process needs."""
    try:
        importlib.import_module("xinmai_native").clock()
    except (ImportError, OSError, AttributeError) as error:
        fix = "reinstall xinmai with a C compiler and the headers of this Python at hand"
        return Check("native", "fail", f"the extension does not load: {error}", fix)
    return Check("native", "pass", "the extension loads")


def has_future_write_seal() -> bool:
    """Whether the kernel can seal a ring against writing by its readers."""
    try:
        fd = os.memfd_create("xm-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        return False
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def check_kernel(release: str, future_write: bool) -> Check:
    """Linux 5.10 in full, 4.19 with less."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    text = f"Linux {release}"
    if version < KERNEL_FLOOR:
        return Check("kernel", "fail", f"{text} is too old", "run Linux 4.19 or newer, best 5.10")
    if not future_write:
        message = f"{text} cannot seal rings against writing by the network side"
        return Check("kernel", "warn", message, "run Linux 5.10 or newer")
    if version < KERNEL_FULL:
        return Check("kernel", "warn", f"{text} is not tested in full", "run Linux 5.10 or newer")
    return Check("kernel", "pass", text)


def check_config_files(resolution: Resolution) -> Check:
    """The configuration as `xinmai config check` sees it."""
    files = ", ".join(map(str, resolution.files)) or "no file, defaults only"
    if not resolution.errors:
        return Check("config", "pass", files)
    more = len(resolution.errors) - 1
    message = str(resolution.errors[0]) + (f" (and {more} more)" if more else "")
    return Check("config", "fail", message, "xinmai config check shows every problem")


def check_directory(check_id: str, directory: Path, key: str) -> Check:
    """A directory that is ours, or that can be made."""
    if directory.exists():
        return _existing_directory(check_id, directory, key)
    parent = _nearest(directory)
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return Check(check_id, "pass", f"{directory} will be made")
    message = f"{directory} is missing and {parent} is not writable"
    return Check(check_id, "fail", message, f"make it for this user, or set {key}")


def _existing_directory(check_id: str, directory: Path, key: str) -> Check:
    if not directory.is_dir():
        return Check(check_id, "fail", f"{directory} is no directory", f"move it, or set {key}")
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        fix = f"chown it to this user, or set {key}"
        return Check(check_id, "fail", f"{directory} is not writable", fix)
    status = directory.stat()
    if status.st_mode & stat.S_IWOTH or status.st_uid not in (0, os.geteuid()):
        message = f"{directory} can be changed by other users"
        return Check(check_id, "warn", message, f"chmod o-w and chown {directory}")
    return Check(check_id, "pass", str(directory))


def _nearest(path: Path) -> Path:
    """The path itself or the closest ancestor that exists."""
    return next(part for part in (path, *path.parents) if part.exists())


def free_bytes(directory: Path) -> int | None:
    """Bytes this user may still write there; None where nobody says."""
    with suppress(OSError):
        return shutil.disk_usage(_nearest(directory)).free
    return None


def check_disk(config: Config, free: int | None) -> Check:
    """Room for the spool at its limit."""
    directory, wanted = config.node.state_dir, config.shipper.spool_bytes
    if free is None:
        return Check("disk", "skip", f"cannot ask for the free space of {directory}")
    message = f"{free / 2**30:.1f} GiB free under {directory}"
    if free < FREE_FLOOR_BYTES:
        return Check("disk", "fail", message, "free some space, or set node.state_dir")
    if free < wanted:
        fix = f"free some space, or set shipper.spool_bytes below {format_bytes(wanted)}"
        return Check("disk", "warn", f"{message}, less than the spool may take", fix)
    return Check("disk", "pass", message)


def check_clock(sync: ClockSync | None) -> Check:
    """Samples are ordered by the monotonic clock; comparing nodes needs the wall clock."""
    if sync is None:
        return Check("clock", "skip", "the kernel does not say whether the clock is synchronised")
    if not sync.synced:
        message = "the wall clock is not synchronised"
        return Check("clock", "warn", message, "run chrony or systemd-timesyncd")
    return Check("clock", "pass", f"synchronised within {sync.max_error_ns / 1e6:.0f} ms")


def broker_program() -> str:
    """The broker `xinmai up` would start, "" for none."""
    try:
        kind = find_broker()
    except Unavailable:
        return ""
    return kind.executable if kind.name == "mosquitto" else kind.name


def check_broker_program(program: str) -> Check:
    """What `xinmai up` starts; daemons that reach a broker elsewhere need none."""
    if not program:
        fix = "install mosquitto, or pip install 'xinmai[broker]'"
        return Check("broker_program", "warn", "xinmai up finds no broker to start", fix)
    return Check("broker_program", "pass", f"xinmai up starts {program}")


def check_broker(broker: BrokerConfig, *, chosen: bool) -> Check:
    """Whether anything listens there.

    Args:
        chosen: a person set the address; nobody on the default one is no fault.
    """
    parts = urlsplit(broker.url)
    address = (parts.hostname or "", parts.port or _BROKER_PORTS[parts.scheme])
    try:
        socket.create_connection(address, timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        message = f"{broker.url} cannot be reached: {error.strerror or error}"
        if not chosen:
            return Check("broker", "skip", f"{message}; xinmai up brings its own")
        return Check("broker", "fail", message, "start the broker, or set broker.url")
    return Check("broker", "pass", f"{broker.url} is reachable")


def check_plugin(source: PluginSource, config: Config) -> Check:
    """One plugin's needs on this machine."""
    check_id = f"plugin.{source.name}"
    table = config.plugins.get(source.name, PluginConfig())
    if table.enabled is False:
        return Check(check_id, "skip", "off by configuration")
    try:
        manifest = source.manifest
        keys = _plugin_keys(manifest, table)
        missing = needs_met(manifest, config.node.root, keys, optional=True)
    except PluginError as error:
        return Check(check_id, "fail", str(error), "reinstall it or tell its owner")
    blocking = [need for need in missing if not need.optional]
    if blocking:
        return _cannot_start(check_id, manifest, blocking, table)
    if missing:
        message = f"runs with less: {_listed(missing)}"
        return Check(check_id, "warn", message, _fixes(missing))
    return Check(check_id, "pass", manifest.summary)


def _plugin_keys(manifest: Manifest, table: PluginConfig) -> Mapping[str, Any]:
    try:
        return check_config(manifest, table.keys)
    except ConfigError:  # the config check has it
        return {}


def _cannot_start(
    check_id: str, manifest: Manifest, missing: Sequence[MissingNeed], table: PluginConfig
) -> Check:
    message, fix = _listed(missing), _fixes(missing)
    if table.enabled:
        return Check(check_id, "fail", f"enabled, but {message}", fix)
    if hardware_is_here(manifest, missing):
        return Check(check_id, "warn", f"its device is here, but {message}", fix)
    return Check(check_id, "skip", message, fix)


def hardware_is_here(manifest: Manifest, missing: Iterable[MissingNeed]) -> bool:
    """Whether only a library or a right is missing, and a met need has shown the device."""
    soft = [need for need in manifest.needs if need.kind in _LIBRARY_OR_RIGHT]
    shown = [need for need in manifest.needs if need not in soft and not need.optional]
    fixes = {need.fix for need in soft}
    return bool(shown) and all(need.fix in fixes for need in missing)


def _listed(missing: Iterable[MissingNeed]) -> str:
    return "; ".join(f"cannot {need.what} {need.on}" for need in missing)


def _fixes(missing: Iterable[MissingNeed]) -> str:
    return "; ".join(dict.fromkeys(need.fix for need in missing))
