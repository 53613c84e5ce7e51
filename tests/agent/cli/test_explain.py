from __future__ import annotations

import json
from typing import Any

import pytest

from xinmai import explain
from xinmai.cli import explain as command
from xinmai.cli.main import main

ROW = {
    "edge": "local",
    "node": "n1",
    "hw_id": "disk-1",
    "metric": "hw.power",
    "attributes": {"hw.name": "x"},
    "unit": "W",
    "kind": "gauge",
    "scale": 0.001,
    "native": "power1_input",
    "refresh_ns": None,
    "window_ns": 25_000_000,
    "plugin": "hwmon",
}


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the store holds; nothing is read from the machine."""
    rows = [ROW, {**ROW, "hw_id": "disk-2"}]
    monkeypatch.setattr(command, "stored_series", lambda store, metric: list(rows))
    monkeypatch.setattr(command, "read_series", lambda *_: [])
    return rows


def report(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["explain", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_is_frozen(stored: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "hw.power")

    assert set(found) == {
        "metric",
        "text",
        "unit",
        "kind",
        "low",
        "high",
        "attributes",
        "plugins",
        "series_from",
        "series",
    }
    assert (found["unit"], found["kind"], found["series_from"]) == ("W", "gauge", "the store")
    assert set(found["plugins"][0]) == {
        "plugin",
        "native",
        "native_unit",
        "scale",
        "cost",
        "refresh_ns",
        "window_ns",
        "width_bits",
        "attributes",
    }
    assert found["series"] == stored


def test_one_device_can_be_named(
    stored: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(capsys, "hw.power@disk-2")

    assert [row["hw_id"] for row in found["series"]] == ["disk-2"]


def test_text_for_people(stored: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "hw.power"]) == 0

    text = capsys.readouterr().out
    assert text.startswith("hw.power: ")
    assert "series, from the store" in text
    assert "25ms" in text


def test_machine_is_read_where_the_store_has_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "stored_series", lambda store, metric: [])
    monkeypatch.setattr(command, "read_series", lambda *_: [ROW])

    assert report(capsys, "hw.power")["series_from"] == "this machine"


def test_unknown_name_is_refused_with_those_that_are_close(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "stored_series", lambda store, metric: [])

    assert main(["explain", "hw.pwer"]) == 2
    assert "close to it: hw.power" in capsys.readouterr().err


def test_plugins_that_supply_a_metric_are_found_in_their_manifests() -> None:
    from xinmai.manifest import find_plugins

    ways = explain.supplies("system.cpu.time", find_plugins().values())

    assert [way.plugin for way in ways] == ["host"]
    assert ways[0].text


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.b", ("a.b", None)),
        ("a.b@x", ("a.b", "x")),
        ("a.b@", ("a.b", "")),
        ("a@x@y", ("a", "x@y")),
    ],
)
def test_series_name_is_split_at_the_first_at(name: str, parts: tuple[str, str | None]) -> None:
    assert explain.split_name(name) == parts
