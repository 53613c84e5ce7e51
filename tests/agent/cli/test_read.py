from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from fakes.clib import put
from fakes.tinyplugin import CALLS_A_LIBRARY, READS_FILES, tiny
from xinmai.cli import read
from xinmai.cli.main import main

KEYS = {
    "time_ns",
    "plugin",
    "hw_id",
    "metric",
    "attributes",
    "unit",
    "value",
    "raw",
    "scale",
    "reason",
    "native",
}


@pytest.fixture(scope="module")
def here() -> list[dict[str, Any]]:
    """What `xinmai read --json` prints on this machine."""
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["read", "--json"]) == 0
    answer = json.loads(out.getvalue())
    assert list(answer) == ["readings"]
    readings: list[dict[str, Any]] = answer["readings"]
    return readings


def one(readings: list[dict[str, Any]], metric: str, **attributes: str) -> dict[str, Any]:
    found = [
        reading
        for reading in readings
        if reading["metric"] == metric
        and attributes.items()
        <= {key.rpartition(".")[2]: value for key, value in reading["attributes"].items()}.items()
    ]
    assert len(found) == 1, found
    return found[0]


def test_every_reading_has_the_same_keys(here: list[dict[str, Any]]) -> None:
    assert {frozenset(reading) for reading in here} == {frozenset(KEYS)}
    assert {reading["plugin"] for reading in here} >= {"host", "link", "self"}


def test_reading_is_a_value_or_a_reason(here: list[dict[str, Any]]) -> None:
    for reading in here:
        without = reading["reason"] is not None
        assert (reading["value"] is None) is without
        assert (reading["raw"] is None) is without
        if not without:
            assert reading["value"] == pytest.approx(reading["raw"] * reading["scale"], rel=1e-12)


def test_times_are_of_now(here: list[dict[str, Any]]) -> None:
    assert all(0 <= time.time_ns() - reading["time_ns"] < 60e9 for reading in here)


def test_memory_is_what_the_kernel_says(here: list[dict[str, Any]]) -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total_kib = int(lines[0].split()[1])
    assert one(here, "system.memory.limit")["value"] == total_kib * 1024


def test_uptime_is_what_the_kernel_says(here: list[dict[str, Any]]) -> None:
    reading = one(here, "xinmai.clock.uptime")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    age_s = (time.time_ns() - reading["time_ns"]) / 1e9
    assert reading["value"] == pytest.approx(uptime - age_s, abs=0.5)


def test_loopback_is_what_the_kernel_says(here: list[dict[str, Any]]) -> None:
    reading = one(here, "accel.link.transitions", name="lo")
    assert reading["value"] == int(Path("/sys/class/net/lo/carrier_changes").read_text())


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin that reads a good file, one without a number, and one that is no longer there."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/good").write_text("41500")
    (tmp_path / "files/empty").write_text("")
    (tmp_path / "files/lost").symlink_to("nowhere")
    found = {"tiny": tiny(tmp_path / "plugin", READS_FILES)}
    monkeypatch.setattr(read, "find_plugins", lambda: found)
    return tmp_path


def test_value_and_reasons(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "--json", "--set", f"node.root={files}"]) == 0
    readings = {one["hw_id"]: one for one in json.loads(capsys.readouterr().out)["readings"]}
    good = readings["good"]
    assert (good["value"], good["raw"], good["scale"], good["reason"]) == (41.5, 41500, 0.001, None)
    assert (good["metric"], good["unit"], good["native"]) == (
        "hw.temperature",
        "Cel",
        "temperature",
    )
    assert readings["empty"]["reason"] == "unsupported"
    assert readings["lost"]["reason"] == "device_lost"
    assert readings["lost"]["value"] is None


def test_calls_of_a_library(
    tmp_path: Path,
    tinysdk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put(tmp_path, tinysdk, "tinysdk.h")
    found = {"tiny": tiny(tmp_path / "plugin", CALLS_A_LIBRARY)}
    monkeypatch.setattr(read, "find_plugins", lambda: found)
    assert main(["read", "--json", "--set", f"node.root={tmp_path}", "hw.power"]) == 0
    readings = json.loads(capsys.readouterr().out)["readings"]
    assert [(one["hw_id"], one["value"], one["native"]) for one in readings] == [
        ("card-0", 42.0, "tsdk_get_power"),
        ("card-1", 42.001, "tsdk_get_power"),
    ]


def test_only_what_is_asked_for(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "--set", f"node.root={files}", "hw.temp*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "plugin",
        "device",
        "metric",
        "attributes",
        "value",
        "unit",
        "native",
    ]
    assert [line.split() for line in lines[1:]] == [
        ["tiny", "empty", "hw.temperature", "unsupported", "Cel", "temperature"],
        ["tiny", "good", "hw.temperature", "41.5", "Cel", "temperature"],
        ["tiny", "lost", "hw.temperature", "device_lost", "Cel", "temperature"],
    ]
    assert main(["read", "--json", "--set", f"node.root={files}", "hw.power"]) == 0
    assert json.loads(capsys.readouterr().out) == {"readings": []}
