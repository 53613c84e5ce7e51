from __future__ import annotations

from pathlib import Path

import pytest

from xinmai.config import load
from xinmai.config_plugins import plugin_errors
from xinmai.manifest import ConfigKey, Manifest, PluginSource


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, PluginSource]:
    source = PluginSource("host", tmp_path)
    manifest = Manifest(
        name="host",
        owner="someone",
        vendor="",
        summary="this machine",
        threading="serial",
        kill_safe=True,
        folder=tmp_path,
        config={"disks": ConfigKey("disks", "list", [], "which disks")},
    )
    source.__dict__["manifest"] = manifest  # a cached property
    return {"host": source, "broken": PluginSource("broken", tmp_path, problem="gone")}


def errors(tmp_path: Path, sources: dict[str, PluginSource], text: str) -> list[str]:
    path = tmp_path / "x.toml"
    path.write_text(text)
    found = plugin_errors(load([path], environment={"HOME": "/h"}), sources)
    return [str(error).removeprefix(f"{path}:") for error in found]


def test_declared_keys_are_fine(tmp_path: Path, sources: dict[str, PluginSource]) -> None:
    text = "[plugins.host]\nenabled = true\ndisks = ['sda']\n"
    assert errors(tmp_path, sources, text) == []


def test_unknown_plugin_is_refused_at_its_table(
    tmp_path: Path, sources: dict[str, PluginSource]
) -> None:
    (error,) = errors(tmp_path, sources, "\n[plugins.hots]\nx = 1\n")

    assert error.startswith("2: plugins.hots: no such plugin; installed: host, broken")
    assert error.endswith('did you mean "host"?')


@pytest.mark.parametrize(
    ("line", "words"),
    [("disk = ['sda']", "unknown key; its keys are disks"), ("disks = 'sda'", "is no list")],
)
def test_wrong_key_of_a_plugin_is_refused_at_its_line(
    tmp_path: Path, sources: dict[str, PluginSource], line: str, words: str
) -> None:
    (error,) = errors(tmp_path, sources, f"[plugins.host]\nenabled = true\n{line}\n")

    assert error.startswith(f"3: plugins.host.{line.split()[0]}: ")
    assert words in error


def test_broken_plugin_is_no_fault_of_the_configuration(
    tmp_path: Path, sources: dict[str, PluginSource]
) -> None:
    assert errors(tmp_path, sources, "[plugins.broken]\nx = 1\n") == []
