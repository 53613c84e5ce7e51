from __future__ import annotations

import logging
from pathlib import Path

import pytest

import xinmai.api
from xinmai.api import Context, Reason

EXPORTED = [
    "NO_STATUS",
    "RETURN",
    "At",
    "CallProbe",
    "Context",
    "Cost",
    "Device",
    "Event",
    "Field",
    "FileProbe",
    "Function",
    "Kind",
    "Metric",
    "Missing",
    "Out",
    "Plugin",
    "PluginError",
    "Poll",
    "Probe",
    "Reading",
    "Reason",
    "Result",
    "Returns",
    "Series",
    "Unavailable",
]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context("thing", tmp_path, {}, {}, logging.getLogger("thing"))


def test_nothing_is_exported_by_accident() -> None:
    assert xinmai.api.__all__ == EXPORTED


def test_paths_are_under_the_root(context: Context, tmp_path: Path) -> None:
    assert context.path("/sys/x") == tmp_path / "sys" / "x"


def test_text_and_names_of_what_is_not_there(context: Context) -> None:
    assert context.text("/nothing") == ""
    assert context.names("/nothing") == []


def test_text_and_names(context: Context, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b" \xff1\n")
    (tmp_path / "a").mkdir()
    assert context.names("/") == ["a", "b"]
    assert context.text("/b") == "\ufffd1"
    assert context.text("/a") == ""


def test_reasons_are_those_of_the_ring() -> None:
    assert [(int(reason), reason.text) for reason in Reason] == [
        (1, "unsupported"),
        (2, "no_permission"),
        (3, "not_yet"),
        (4, "timeout"),
        (5, "device_lost"),
        (6, "driver_lost"),
        (7, "vendor_error"),
        (8, "implausible"),
        (9, "asleep"),
        (10, "released"),
        (11, "stale"),
    ]
