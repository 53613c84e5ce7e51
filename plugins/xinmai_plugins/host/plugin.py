"""The node itself: CPU, memory, pressure, disks, filesystems."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import psutil

from xinmai.api import (
    Device,
    Field,
    FileProbe,
    Metric,
    Missing,
    Plugin,
    Poll,
    Reading,
    Reason,
    Series,
    Unavailable,
)
from xinmai_plugins.host import filesystems
from xinmai_plugins.host.tables import DISK, HOST_FILES, SIZE, Row, cpu_rows

HOST = "host"
TICKS_PER_SECOND = 100
MOUNTS_EVERY = 30
"""Seconds between looks at the mount table: on container hosts it has thousands of lines."""

CPU_DIRECTORY = "/sys/devices/system/cpu"


class Host(Plugin):
    """Bulk from /proc and /sys by the C lane; what needs a system call per item by psutil."""

    def open(self) -> None:
        """Check that CPU times are in the unit that metrics.toml says."""
        if os.sysconf("SC_CLK_TCK") != TICKS_PER_SECOND:
            raise Unavailable(
                "read CPU times",
                "/proc/stat",
                f"this kernel ticks {os.sysconf('SC_CLK_TCK')} times a second, not 100: report it",
            )
        psutil.PROCFS_PATH = str(self.context.path("/proc"))
        self._found: tuple[object, ...] = ()
        self._mounts: list[filesystems.Filesystem] = []
        self._asked = 0

    def discover(self) -> Iterable[Device]:
        """The host, then its disks."""
        disks = self._disk_names()
        self._mounts = self._mounted()
        self._found = (disks, self._mounts)
        yield self._host()
        yield from _unique(self._disk(name) for name in disks)

    def changed(self) -> bool:
        """Whether disks came or went, or, now and then, filesystems."""
        self._asked += 1
        if self._asked % MOUNTS_EVERY == 0:
            self._mounts = self._mounted()
        return (self._disk_names(), self._mounts) != self._found

    def readings(self, device: Device) -> Iterable[FileProbe | Poll]:
        """Kernel tables of the host, one `stat` of each disk."""
        if device.hw_id != HOST:
            yield from self._disk_readings(device)
            return
        for path, rows in HOST_FILES.items():
            yield from self._table(device, path, self._with_cpus(path, rows))
        yield self._poll(device, "psutil.pids", "process_total", _processes)
        yield self._poll(device, "count CPUs", "cpus_logical", self._logical_cpus)
        yield self._poll(device, "count cores", "cpus_physical", self._physical_cpus)
        for filesystem in self._mounts:
            yield self._filesystem(device, filesystem)

    def _host(self) -> Device:
        text = self.context.text
        facts = {
            "host.id": _hashed(text("/etc/machine-id")),
            "os.kernel_release": text("/proc/sys/kernel/osrelease"),
            "hw.bios_version": text("/sys/class/dmi/id/bios_version"),
        }
        return Device(
            hw_id=HOST,
            vendor=text("/sys/class/dmi/id/sys_vendor"),
            model=text("/sys/class/dmi/id/product_name"),
            attributes={name: value for name, value in facts.items() if value},
        )

    def _disk_names(self) -> list[str]:
        exclude: Sequence[str] = self.context.config["disks_exclude"]
        return [
            name
            for name in self.context.names("/sys/block")
            if not any(fnmatchcase(name, pattern) for pattern in exclude)
        ]

    def _disk(self, name: str) -> Device:
        base = f"/sys/block/{name}"
        serial = self._first(f"{base}/device/serial", f"{base}/serial")
        wwid = self._first(f"{base}/wwid", f"{base}/device/wwid")
        identity = "_".join((wwid or serial).split())
        firmware = self._first(f"{base}/device/firmware_rev", f"{base}/device/rev")
        return Device(
            hw_id=f"disk-{identity or name}",
            vendor=_named(self.context.text(f"{base}/device/vendor")),
            model=self.context.text(f"{base}/device/model"),
            serial_number=serial,
            attributes={
                "hw.name": name,
                **({"hw.firmware_version": firmware} if firmware else {}),
            },
        )

    def _first(self, *paths: str) -> str:
        return next((text for path in paths if (text := self.context.text(path))), "")

    def _mounted(self) -> list[filesystems.Filesystem]:
        if not self.context.config["filesystems"]:
            return []
        return filesystems.mounted(self.context.config["filesystems_exclude"])

    def _with_cpus(self, path: str, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        if path != "/proc/stat" or not self.context.config["per_cpu"]:
            return rows
        keys = [word for word in _words(self.context.text(path)) if word[:3] == "cpu" != word]
        return rows + tuple(row for key in keys for row in cpu_rows(key, key.removeprefix("cpu")))

    def _table(self, device: Device, path: str, rows: tuple[Row, ...]) -> Iterable[FileProbe]:
        """One probe of a file, with the rows that this kernel has."""
        text = self.context.text(path)
        words = _words(text)
        fields = [
            Field(self._series(row, device, path), row.key, row.index, row.decimals)
            for row in rows
            if text and (row.key is None or row.key in words)
        ]
        if fields:
            yield FileProbe(self.context.path(path), fields, self._metric(rows[0].metric).cost)

    def _metric(self, key: str) -> Metric:
        return self.context.metrics[key]

    def _series(
        self, row: Row, device: Device, path: str, more: Mapping[str, str] | None = None
    ) -> Series:
        native = " ".join(part for part in (path, row.key, f"[{row.index}]") if part)
        attributes = {**row.attributes, **(more or {})}
        return self._metric(row.metric).of(device, attributes, native=native)

    def _poll(
        self, device: Device, name: str, key: str, read: Callable[[], Sequence[Reading]]
    ) -> Poll:
        metric = self._metric(key)
        return Poll(name, [metric.of(device)], read, metric.cost)

    def _logical_cpus(self) -> Sequence[Reading]:
        online = self.context.path(f"{CPU_DIRECTORY}/online").read_text("ascii")
        return [sum(_span(part) for part in online.strip().split(","))]

    def _physical_cpus(self) -> Sequence[Reading]:
        cores = {
            self.context.text(f"{CPU_DIRECTORY}/{name}/topology/thread_siblings_list")
            for name in self.context.names(CPU_DIRECTORY)
            if name[:3] == "cpu" and name[3:].isdigit()
        } - {""}
        return [len(cores) or Missing(Reason.UNSUPPORTED)]

    def _filesystem(self, device: Device, filesystem: filesystems.Filesystem) -> Poll:
        limit, usage, inodes = (
            self._metric(f"filesystem_{key}") for key in ("limit", "usage", "inodes")
        )
        own = filesystem.attributes
        states = [{**own, "system.filesystem.state": state} for state in ("used", "free")]
        reserved = {**own, "system.filesystem.state": "reserved"}
        series = [
            limit.of(device, own),
            *(usage.of(device, state) for state in (*states, reserved)),
            *(inodes.of(device, state) for state in states),
        ]
        path = self.context.path(filesystem.mountpoint)
        return Poll(
            f"space of {filesystem.mountpoint}", series, filesystems.reader(path), limit.cost
        )

    def _disk_readings(self, device: Device) -> Iterable[FileProbe]:
        name = device.attributes["hw.name"]
        more = {"system.device": name}
        for file, rows in ((f"/sys/block/{name}/stat", DISK), (f"/sys/block/{name}/size", SIZE)):
            fields = [
                Field(self._series(row, device, file, more), row.key, row.index) for row in rows
            ]
            yield FileProbe(self.context.path(file), fields, self._metric(rows[0].metric).cost)


def _hashed(machine_id: str) -> str:
    """The id itself is a secret of the node (machine-id(5)): only a hash leaves it."""
    if not machine_id:
        return ""
    return hashlib.sha256(f"xinmai {machine_id}".encode()).hexdigest()[:32]


def _named(vendor: str) -> str:
    """Virtio and PCI give a number there."""
    return "" if vendor.startswith("0x") else vendor


def _words(text: str) -> dict[str, None]:
    """First words of the lines, in order."""
    return dict.fromkeys(line.split(maxsplit=1)[0] for line in text.splitlines() if line.strip())


def _span(part: str) -> int:
    """CPUs in `3` or `0-3`."""
    first, _, last = part.partition("-")
    return int(last or first) - int(first) + 1


def _processes() -> Sequence[Reading]:
    return [len(psutil.pids())]


def _unique(disks: Iterable[Device]) -> Iterable[Device]:
    """Several paths to one disk share its id: the later ones carry their name too."""
    seen = set()
    for disk in disks:
        if disk.hw_id in seen:
            disk = replace(disk, hw_id=f"{disk.hw_id}-{disk.attributes['hw.name']}")
        seen.add(disk.hw_id)
        yield disk
