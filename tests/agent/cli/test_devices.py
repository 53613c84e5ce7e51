from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.tinyplugin import HANGS_WHEN_TOLD, OPEN_FAILS, UNAVAILABLE, tiny
from xinmai.cli import devices, read
from xinmai.cli.main import main
from xinmai.manifest import PluginSource

KEYS = {
    "edge",
    "node",
    "hw_id",
    "vendor",
    "model",
    "serial_number",
    "parent",
    "pci_bdf",
    "index",
    "plugin",
    "stand_in",
    "present",
    "first_seen",
    "last_seen",
}

FULL = """
    def discover(self):
        yield Device("card", "Tiny", "T1", "SN7", "", "0000:01:00.0", 3)
        yield Device("die", parent="card")
"""

Installed = Callable[..., None]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    """These plugins and no others."""

    def install(*sources: PluginSource) -> None:
        found = {source.name: source for source in sources}
        monkeypatch.setattr(devices, "find_plugins", lambda: found)
        monkeypatch.setattr(read, "find_plugins", lambda: found)

    return install


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    code = main([*words])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if "--json" in words else captured.out, captured.err


def test_devices_as_programs_see_them(
    tmp_path: Path, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(tiny(tmp_path / "tiny", FULL))
    settings = ("--set", "node.edge=rack1", "--set", "node.name=n1")
    code, answer, err = run(capsys, "devices", "--json", *settings)
    assert (code, err, list(answer)) == (0, "", ["devices"])
    card, die = answer["devices"]
    assert set(card) == KEYS
    assert card["first_seen"] == card["last_seen"]
    times = ("first_seen", "last_seen")
    assert {key: value for key, value in card.items() if key not in times} == {
        "edge": "rack1",
        "node": "n1",
        "hw_id": "card",
        "vendor": "Tiny",
        "model": "T1",
        "serial_number": "SN7",
        "parent": "",
        "pci_bdf": "0000:01:00.0",
        "index": 3,
        "plugin": "tiny",
        "stand_in": False,
        "present": True,
    }
    assert (die["hw_id"], die["parent"], die["index"]) == ("die", "card", None)


def test_devices_as_people_see_them(
    tmp_path: Path, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tiny(tmp_path / "absent", UNAVAILABLE, name="absent")
    installed(tiny(tmp_path / "tiny", FULL), absent)
    code, out, err = run(capsys, "devices")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "Tiny" in out
    assert "xinmai: plugin absent: load the library: libtiny.so (install tiny-sdk)\n" in err


@pytest.mark.fault("A11")
@pytest.mark.fault("B12")
def test_plugin_that_fails_is_named_and_hides_no_other(
    tmp_path: Path, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [
        tiny(tmp_path / "absent", UNAVAILABLE, name="absent"),
        tiny(tmp_path / "broken", name="broken"),
        tiny(tmp_path / "fails", OPEN_FAILS, name="fails"),
        tiny(tmp_path / "good", name="good"),
    ]
    (tmp_path / "broken/metrics.toml").write_text("[power]\nmetric = 7\n")
    installed(*sources)
    code, answer, err = run(capsys, "devices", "--json")
    assert code == 1
    assert [device["plugin"] for device in answer["devices"]] == ["good", "good"]
    assert "plugin fails: RuntimeError: no such luck\n" in err
    assert f"plugin broken: {tmp_path}/broken/metrics.toml: power.metric" in err
    assert "plugin absent" not in err


@pytest.mark.fault("A1")
def test_plugin_that_hangs_is_named_with_its_call_and_the_others_are_read(
    tmp_path: Path,
    installed: Installed,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xinmai.sampler.oneshot.look.__kwdefaults__", {"timeout_s": 1.0})
    monkeypatch.setattr("xinmai.sampler.oneshot.STOP_S", 0.3)
    (tmp_path / "hang-one").touch()
    hangs = tiny(tmp_path / "hangs", HANGS_WHEN_TOLD, name="hangs", kill_safe=True)
    installed(hangs, tiny(tmp_path / "good", name="good"))
    code, answer, err = run(capsys, "read", "--json", "--set", f"node.root={tmp_path}")
    assert code == 1
    assert {reading["plugin"] for reading in answer["readings"]} == {"good"}
    assert "plugin hangs: stuck in power of one, lane poll:slow, " in err


def test_machine_without_plugins_has_no_devices(
    installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    installed()
    assert run(capsys, "devices", "--json") == (1, {"devices": []}, "")
