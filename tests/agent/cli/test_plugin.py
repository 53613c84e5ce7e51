from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xinmai.cli import plugin as command
from xinmai.cli.main import main
from xinmai.manifest import Manifest, PluginSource
from xinmai.needs import Need

KEYS = {"name", "vendor", "summary", "state", "problem", "missing", "folder"}


@pytest.fixture
def entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """`plugin list --json` over three plugins, by name."""
    need = Need("paths", ("/dev/card*",), "fit a card")
    sources = {
        name: PluginSource(name, tmp_path, problem="gone" if name == "broken" else "")
        for name in ("broken", "card", "fine", "off")
    }
    for name, needs in (("card", (need,)), ("fine", ()), ("off", ())):
        sources[name].__dict__["manifest"] = Manifest(
            name, "someone", "acme", f"{name}!", "serial", False, tmp_path, needs
        )
    monkeypatch.setattr(command, "find_plugins", lambda: sources)
    file = tmp_path / "x.toml"
    file.write_text(f"[node]\nroot = '{tmp_path}'\n")
    words = ["--config", str(file), "--set", "plugins.off.enabled=false"]
    monkeypatch.setattr("xinmai.config_plugins.find_plugins", lambda: sources)

    assert main(["plugin", "list", "--json", *words]) == 0

    return {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["plugins"]}


def test_states(entries: dict[str, Any]) -> None:
    assert {name: entry["state"] for name, entry in entries.items()} == {
        "broken": "broken",
        "card": "missing",
        "fine": "ready",
        "off": "off",
    }


def test_json_is_frozen(entries: dict[str, Any]) -> None:
    assert all(set(entry) == KEYS for entry in entries.values())
    assert entries["card"]["missing"] == [
        {"what": "find", "on": "/dev/card*", "fix": "fit a card", "optional": False}
    ]
    assert entries["broken"]["problem"] == "gone"


def test_installed_plugins_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "list"]) == 0

    text = capsys.readouterr().out
    for name in ("example", "host", "hwmon", "link", "rapl", "self"):
        assert f"\n{name} " in text
