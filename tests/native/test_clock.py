from __future__ import annotations

import time
from array import array
from pathlib import Path

import pytest

from xinmai_native import clock, crc32c, reference_loop


def test_clocks_are_read_together() -> None:
    before = time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
    mono_ns, boot_ns, real_ns, error_ns = clock()
    after = time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
    assert before[0] <= mono_ns <= after[0]
    assert before[1] <= boot_ns <= after[1]
    assert before[2] <= real_ns <= after[2]
    assert 0 <= error_ns <= after[0] - before[0]


def test_crc32c_of_known_texts() -> None:
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(array("I", [0] * 8)) == 0x8A9136AA


def test_crc32c_goes_on_from_a_value() -> None:
    text = bytes(range(256)) * 3
    for cut in (0, 1, 7, 8, 100, len(text)):
        assert crc32c(text[cut:], crc32c(text[:cut])) == crc32c(text)
    for value in (-1, 2**32):
        with pytest.raises(ValueError, match="32-bit"):
            crc32c(b"", value)


def test_reference_loop_reports_its_cost(tmp_path: Path) -> None:
    paths = []
    for i in range(10):
        (tmp_path / str(i)).write_text(f"{i}\n")
        paths.append(str(tmp_path / str(i)).encode())
    cpu_ns, missed, late_p50_ns, late_p99_ns = reference_loop(paths, 1_000_000, 50)
    assert cpu_ns > 0
    assert missed >= 0
    assert 0 <= late_p50_ns <= late_p99_ns < 1_000_000
    with pytest.raises(FileNotFoundError):
        reference_loop([b"/nonexistent"], 1_000_000, 1)
    with pytest.raises(ValueError, match="at least 1"):
        reference_loop(paths, 0, 1)
    with pytest.raises(TypeError):
        reference_loop(["text"], 1, 1)  # type: ignore[list-item]
