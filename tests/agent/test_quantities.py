from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinmai.quantities import (
    MAX_CPUS,
    format_bytes,
    format_cpus,
    format_duration,
    parse_bytes,
    parse_cpus,
    parse_duration_ns,
)


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("1ns", 1),
        ("250us", 250_000),
        ("100ms", 100_000_000),
        ("1.5s", 1_500_000_000),
        ("1min", 60_000_000_000),
        ("2h", 7_200_000_000_000),
        ("1d", 86_400_000_000_000),
        ("10Hz", 100_000_000),
        ("1kHz", 1_000_000),
        ("0.5Hz", 2_000_000_000),
        ("3Hz", 333_333_333),
        (" 20 s ", 20_000_000_000),
    ],
)
def test_durations_and_rates_become_nanoseconds(text: str, expected_ns: int) -> None:
    assert parse_duration_ns(text) == expected_ns


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-1s", "1 fortnight", "1e3s", "0Hz", "0.1ns", "1s 5ms", "١s", "9" * 30 + "s"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit|period|whole"):
        parse_duration_ns(text)


@pytest.mark.parametrize(
    ("text", "expected_bytes"),
    [("0B", 0), ("512B", 512), ("4KiB", 4096), ("1.5GiB", 3 * 2**29), ("500MB", 500_000_000)],
)
def test_sizes_become_bytes(text: str, expected_bytes: int) -> None:
    assert parse_bytes(text) == expected_bytes


@pytest.mark.parametrize("text", ["", "64", "1mib", "0.1B", "-1KiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|unit|whole"):
        parse_bytes(text)


@given(st.integers(min_value=0, max_value=2**62))
def test_formatted_duration_reads_back(duration_ns: int) -> None:
    assert parse_duration_ns(format_duration(duration_ns)) == duration_ns


@given(st.integers(min_value=0, max_value=2**62))
def test_formatted_size_reads_back(size_bytes: int) -> None:
    assert parse_bytes(format_bytes(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "cpus"), [("", set()), ("3", {3}), ("0-2,8,10-11", {0, 1, 2, 8, 10, 11}), ("5,5", {5})]
)
def test_lists_of_cpus_become_numbers(text: str, cpus: set[int]) -> None:
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", [",", "1-", "3-1", "-1", "a", "1 2", "8192", "0-99999", "(null)"])
def test_what_is_no_list_of_cpus_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="list of CPUs"):
        parse_cpus(text)


@given(st.sets(st.integers(min_value=0, max_value=MAX_CPUS - 1), max_size=40))
def test_formatted_cpus_read_back(cpus: set[int]) -> None:
    assert parse_cpus(format_cpus(cpus)) == cpus
