"""Durations, sizes and lists of CPUs as people write them: `100ms`, `10Hz`, `1GiB`, `0-3,8`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
MAX_CPUS = 8192
"""The kernel's own limit."""
_CPUS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_HERTZ = {"Hz": 1, "kHz": 1_000}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*", re.ASCII)


def parse_duration_ns(text: str) -> int:
    """A duration, or a rate as the period it means: `100ms`, `1.5s`, `10Hz`, `1kHz`.

    Raises:
        ValueError: not a duration, or not a whole number of nanoseconds of at least one.
    """
    number, unit = _split(text, "a duration such as 100ms, 1s, 1h or 10Hz")
    if unit in _HERTZ:
        if not number:
            raise ValueError("0Hz is not a period")
        exact = Decimal(_NS["s"]) / (number * _HERTZ[unit])
        return max(1, int(exact.to_integral_value()))
    if unit not in _NS:
        raise ValueError(f"unknown unit {unit!r}; one of {', '.join([*_NS, *_HERTZ])}")
    return _whole(number * _NS[unit], text, "ns")


duration_ns = parse_duration_ns
"""The same under the name that argparse shows in `invalid duration_ns value`."""


def format_duration(duration_ns: int) -> str:
    """The shortest exact form, which `parse_duration_ns` reads back."""
    return _format(duration_ns, {unit: ns for unit, ns in _NS.items() if unit != "d"}, "ns")


def parse_bytes(text: str) -> int:
    """A size: `64MiB`, `1.5GiB`, `500MB`.

    Raises:
        ValueError: not a size, or not a whole number of bytes.
    """
    number, unit = _split(text, "a size such as 64MiB or 1GiB")
    if unit not in _BYTES:
        raise ValueError(f"unknown unit {unit!r}; one of {', '.join(_BYTES)}")
    return _whole(number * _BYTES[unit], text, "bytes")


def format_bytes(size_bytes: int) -> str:
    """The shortest exact form, which `parse_bytes` reads back."""
    binary = {unit: size for unit, size in _BYTES.items() if unit == "B" or "i" in unit}
    return _format(size_bytes, binary, "B")


def parse_cpus(text: str) -> frozenset[int]:
    """Numbers of CPUs as the kernel lists them: `0-3,8`; empty for "".

    Raises:
        ValueError: not a list of CPUs.
    """
    cpus: set[int] = set()
    for part in text.split(",") if text else ():
        match = _CPUS.fullmatch(part)
        first = int(match[1]) if match else MAX_CPUS
        last = int(match[2] or match[1]) if match else 0
        if not first <= last < MAX_CPUS:
            raise ValueError(f"{text!r} is not a list of CPUs such as 0-3,8")
        cpus.update(range(first, last + 1))
    return frozenset(cpus)


def format_cpus(cpus: Iterable[int]) -> str:
    """The shortest form, which `parse_cpus` reads back."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and runs[-1][-1] == cpu - 1:
            runs[-1][1:] = [cpu]
        else:
            runs.append([cpu])
    return ",".join("-".join(map(str, run)) for run in runs)


def _split(text: str, wanted: str) -> tuple[Decimal, str]:
    match = _QUANTITY.fullmatch(text)
    if not match or len(match[1]) > 24:
        raise ValueError(f"{text!r} is not {wanted}")
    return Decimal(match[1]), match[2]


def _whole(number: Decimal, text: str, what: str) -> int:
    if number != number.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number of {what}")
    return int(number)


def _format(value: int, units: dict[str, int], smallest: str) -> str:
    for unit, size in sorted(units.items(), key=lambda item: -item[1]):
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value}{smallest}"
