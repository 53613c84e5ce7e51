"""What a plugin needs of the machine, and what of it is missing.

Looks at files only: nothing is loaded, no command is run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from xinmai.tables import Table

CAPABILITIES: Final[Mapping[str, int]] = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
    "CAP_SYSLOG": 34,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}

_LIBRARY_DIRECTORIES = (
    "lib",
    "lib64",
    "usr/lib",
    "usr/lib64",
    "usr/local/lib",
    "usr/local/lib64",
    "lib/*-linux-gnu",
    "usr/lib/*-linux-gnu",
)


@dataclass(frozen=True, slots=True)
class Need:
    """One `[[needs]]` entry of `plugin.toml`.

    Args:
        kind: a key of `CHECKS`.
        items: paths (patterns allowed), library file names, groups, capabilities, PCI ids, or
            configuration keys that must be set.
        fix: what a person can do where it is missing.
        optional: only some readings need it; the plugin starts without.
        unless: a configuration key that, set, makes the need void (a library's own path).
    """

    kind: str
    items: tuple[str, ...]
    fix: str
    optional: bool = False
    unless: str = ""


@dataclass(frozen=True, slots=True)
class MissingNeed:
    """What is missing, on what, and the fix; `optional` costs only some readings."""

    what: str
    on: str
    fix: str
    optional: bool = False


def read_need(table: Table) -> Need:
    """One entry, which has exactly one of the keys of `CHECKS`."""
    kinds = [kind for kind in CHECKS if table.has(kind)]
    if len(kinds) != 1:
        raise table.fail("", f"needs exactly one of {', '.join(CHECKS)}")
    need = Need(
        kind=kinds[0],
        items=table.strings(kinds[0]),
        fix=table.take("fix", str),
        optional=table.take("optional", bool, False),
        unless=table.take("unless", str, ""),
    )
    table.done()
    if not need.items or not need.fix:
        raise table.fail(need.kind, "neither the list nor the fix may be empty")
    if need.kind == "capabilities" and not set(need.items) <= set(CAPABILITIES):
        raise table.fail(need.kind, f"known are {', '.join(CAPABILITIES)}")
    return need


def missing(
    needs: Iterable[Need], root: Path, config: Mapping[str, Any] | None = None
) -> list[MissingNeed]:
    """The needs that this machine does not meet, in order.

    Args:
        root: prefix of every path, `/` on a real machine.
        config: the plugin's checked configuration, for `unless`.
    """
    found = []
    for need in needs:
        if need.unless and (config or {}).get(need.unless):
            continue
        what, check = CHECKS[need.kind]
        absent = check(root, need.items) if check else _unset(config or {}, need.items)
        if absent:
            found.append(MissingNeed(what, ", ".join(absent), need.fix, need.optional))
    return found


def _matches(root: Path, pattern: str) -> bool:
    try:
        return any(True for _ in root.glob(pattern.lstrip("/")))
    except OSError:
        return False


def _any_path(root: Path, patterns: Sequence[str]) -> Sequence[str]:
    return () if any(_matches(root, pattern) for pattern in patterns) else patterns


def _paths(root: Path, patterns: Sequence[str]) -> Sequence[str]:
    return [pattern for pattern in patterns if not _matches(root, pattern)]


def _libraries(root: Path, names: Sequence[str]) -> Sequence[str]:
    """One of several file names is enough; a name with a slash is a path of its own."""
    for name in names:
        if "/" in name:
            if _matches(root, name):
                return ()
        elif any((directory / name).exists() for directory in _library_directories(root)):
            return ()
    return names


def _library_directories(root: Path) -> Iterator[Path]:
    for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if entry:
            yield Path(entry)
    for pattern in _LIBRARY_DIRECTORIES:
        yield from root.glob(pattern)
    for file in sorted(root.glob("etc/ld.so.conf.d/*.conf")):
        for line in _text(file).splitlines():
            if line.startswith("/"):
                yield root / line.strip().lstrip("/")


def _groups(root: Path, names: Sequence[str]) -> Sequence[str]:
    """Root needs no group; a group that does not exist cannot be had."""
    if os.geteuid() == 0:
        return ()
    rows = (line.split(":") for line in _text(root / "etc/group").splitlines())
    numbers = {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}
    mine = {os.getegid(), *os.getgroups()}
    return [name for name in names if numbers.get(name) not in mine]


def _capabilities(root: Path, names: Sequence[str]) -> Sequence[str]:
    rows = (line.split() for line in _text(root / "proc/self/status").splitlines())
    mask = next((int(row[1], 16) for row in rows if row[:1] == ["CapEff:"]), 0)
    return [name for name in names if not mask >> CAPABILITIES[name] & 1]


def _pci(root: Path, ids: Sequence[str]) -> Sequence[str]:
    """Ids are `vendor` or `vendor:device` in four hex digits; one present is enough."""
    for device in root.glob("sys/bus/pci/devices/*"):
        vendor = _text(device / "vendor").strip().removeprefix("0x").lower()
        model = _text(device / "device").strip().removeprefix("0x").lower()
        if vendor in ids or f"{vendor}:{model}" in ids:
            return ()
    return ids


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _unset(config: Mapping[str, Any], keys: Sequence[str]) -> Sequence[str]:
    return [key for key in keys if not config.get(key)]


_Check = Callable[[Path, Sequence[str]], Sequence[str]]

CHECKS: Final[Mapping[str, tuple[str, _Check | None]]] = {
    "any_path": ("find one of", _any_path),
    "paths": ("find", _paths),
    "libraries": ("find a library named", _libraries),
    "groups": ("be a member of group", _groups),
    "capabilities": ("hold capability", _capabilities),
    "pci": ("find a PCI device of id", _pci),
    "config": ("find a value for the key", None),
}
