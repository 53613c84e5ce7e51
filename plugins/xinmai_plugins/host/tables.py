"""Which number of which kernel file is which metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """A number of a file: `metric` is a key of metrics.toml, `key` and `index` as in `Field`."""

    metric: str
    key: str | None
    index: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    decimals: int = 0


CPU_MODES: Final = ("user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal")


def cpu_rows(key: str, number: str = "") -> tuple[Row, ...]:
    """One row per mode of a `cpu` or `cpuN` line."""
    own = {"cpu.logical_number": number} if number else {}
    return tuple(
        Row("cpu_time", key, index, {"cpu.mode": mode, **own})
        for index, mode in enumerate(CPU_MODES)
    )


def _memory(state: str, key: str) -> Row:
    return Row("memory_usage", key, 0, {"system.memory.state": state})


def _pressure(resource: str) -> tuple[Row, ...]:
    return tuple(
        Row(
            metric,
            scope,
            index,
            {"accel.host.pressure.resource": resource, "accel.host.pressure.scope": scope},
            decimals,
        )
        for scope in ("some", "full")
        for metric, index, decimals in (("pressure_ratio", 0, 2), ("pressure_time", 3, 0))
    )


STAT: Final = (
    *cpu_rows("cpu"),
    Row("interrupts", "intr"),
    Row("context_switches", "ctxt"),
    Row("processes_created", "processes"),
    Row("processes", "procs_running", 0, {"process.state": "running"}),
    Row("processes", "procs_blocked", 0, {"process.state": "blocked"}),
)

MEMINFO: Final = (
    Row("memory_limit", "MemTotal:"),
    _memory("free", "MemFree:"),
    Row("memory_available", "MemAvailable:"),
    _memory("buffers", "Buffers:"),
    _memory("cached", "Cached:"),
    _memory("active", "Active:"),
    _memory("inactive", "Inactive:"),
    _memory("locked", "Mlocked:"),
    Row("swap_limit", "SwapTotal:"),
    Row("swap_usage", "SwapFree:", 0, {"system.paging.state": "free"}),
    _memory("dirty", "Dirty:"),
    _memory("writeback", "Writeback:"),
    _memory("anonymous", "AnonPages:"),
    _memory("mapped", "Mapped:"),
    Row("memory_shared", "Shmem:"),
    Row("memory_slab", "SReclaimable:", 0, {"system.memory.linux.slab.state": "reclaimable"}),
    Row("memory_slab", "SUnreclaim:", 0, {"system.memory.linux.slab.state": "unreclaimable"}),
    _memory("kernel_stack", "KernelStack:"),
    _memory("page_tables", "PageTables:"),
    _memory("committed", "Committed_AS:"),
    Row("hugepages_limit", "HugePages_Total:"),
    Row("hugepages_usage", "HugePages_Free:", 0, {"system.memory.linux.hugepages.state": "free"}),
)

VMSTAT: Final = (
    Row("page_swaps", "pswpin", 0, {"system.paging.direction": "in"}),
    Row("page_swaps", "pswpout", 0, {"system.paging.direction": "out"}),
    Row("page_faults", "pgfault"),
    Row("page_faults", "pgmajfault", 0, {"system.paging.fault.type": "major"}),
    Row("reclaimed", "pgsteal_direct"),
    Row("oom_kills", "oom_kill"),
)

LOADAVG: Final = (
    Row("load_1m", None, 0, decimals=2),
    Row("load_5m", None, 1, decimals=2),
    Row("load_15m", None, 2, decimals=2),
)

HOST_FILES: Final[Mapping[str, tuple[Row, ...]]] = {
    "/proc/stat": STAT,
    "/proc/meminfo": MEMINFO,
    "/proc/vmstat": VMSTAT,
    "/proc/loadavg": LOADAVG,
    "/proc/uptime": (Row("uptime", None, 0, decimals=2),),
    "/proc/pressure/cpu": _pressure("cpu"),
    "/proc/pressure/memory": _pressure("memory"),
    "/proc/pressure/io": _pressure("io"),
    "/proc/sys/fs/file-nr": (Row("file_handles", None),),
}

_READ = {"disk.io.direction": "read"}
_WRITE = {"disk.io.direction": "write"}

# https://docs.kernel.org/block/stat.html; sectors are of 512 bytes whatever the disk's are.
DISK: Final = (
    Row("disk_operations", None, 0, _READ),
    Row("disk_merged", None, 1, _READ),
    Row("disk_io", None, 2, _READ),
    Row("disk_operation_time", None, 3, _READ),
    Row("disk_operations", None, 4, _WRITE),
    Row("disk_merged", None, 5, _WRITE),
    Row("disk_io", None, 6, _WRITE),
    Row("disk_operation_time", None, 7, _WRITE),
    Row("disk_in_flight", None, 8),
    Row("disk_io_time", None, 9),
)

SIZE: Final = (Row("disk_limit", None),)
