from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xinmai.cli.main import main
from xinmai.config_keys import KEYS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.toml"
    path.write_text("[node]\nname = 'n1'\n[cadence]\nprofile = 'quiet'\n")
    return path


def json_of(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_check_says_what_is_fine(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--config", str(file)]) == 0
    assert capsys.readouterr().out == f"fine: {file}\n"


def test_check_lists_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[node]\nnam = 'n1'\n[plugins.nonesuch]\n")

    assert main(["config", "check", "--config", str(path)]) == 2

    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"xinmai: {path}:2: node.nam: unknown key")
    assert second.startswith(f"xinmai: {path}:3: plugins.nonesuch: no such plugin")


def test_check_json_is_frozen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[node]\nname = 7\n")

    assert main(["config", "check", "--json", "--config", str(path)]) == 2

    assert json_of(capsys) == {
        "ok": False,
        "files": [str(path)],
        "errors": [
            {
                "file": str(path),
                "line": 2,
                "key": "node.name",
                "message": "got 7; allowed: 1 to 64 of A-Z a-z 0-9 . _ - "
                "beginning with a letter or digit",
            }
        ],
    }


def test_print_json_is_frozen(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["config", "print", "--json", "--config", str(file), "--set", "cadence.slow=2s"]
    assert main(words) == 0

    report = json_of(capsys)
    assert set(report) == {"files", "keys", "cadences", "plugins"}
    assert [row["key"] for row in report["keys"]] == [key.name for key in KEYS]
    rows = {row["key"]: row for row in report["keys"]}
    assert set(rows["node.name"]) == {
        "key",
        "value",
        "from",
        "line",
        "environment",
        "allowed",
        "help",
    }
    assert (rows["node.name"]["value"], rows["node.name"]["from"]) == ("n1", str(file))
    assert rows["node.name"]["line"] == 2
    assert (rows["cadence.fast"]["value"], rows["cadence.fast"]["from"]) == (
        "1s",
        "cadence.profile",
    )
    assert (rows["cadence.slow"]["value"], rows["cadence.slow"]["from"]) == ("2s", "flag")
    assert rows["broker.url"]["from"] == "default"
    assert report["cadences"] == [
        {"class": "fast", "plugin": "", "period": "1s", "period_ns": 10**9, "explicit": False},
        {"class": "slow", "plugin": "", "period": "2s", "period_ns": 2 * 10**9, "explicit": True},
        {
            "class": "rare",
            "plugin": "",
            "period": "1min",
            "period_ns": 60 * 10**9,
            "explicit": False,
        },
    ]


def test_print_shows_keys_and_cadences(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "print", "--config", str(file)]) == 0

    text = capsys.readouterr().out
    assert '"n1"' in text
    assert f"{file}:2" in text
    assert "1s (1 Hz)" in text


def test_print_refuses_a_wrong_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[node\n")

    assert main(["config", "print", "--config", str(path)]) == 2
    assert f"{path}:1: not TOML" in capsys.readouterr().err


def test_init_writes_a_file_that_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new.toml"

    assert main(["config", "init", "--out", str(path)]) == 0
    assert main(["config", "check", "--config", str(path)]) == 0
    assert "# [plugins.NAME]" in path.read_text()
    capsys.readouterr()


def test_init_keeps_an_existing_file_unless_forced(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_text()

    assert main(["config", "init", "--out", str(file)]) == 2
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == before
    assert main(["config", "init", "--out", str(file), "--force"]) == 0
    assert file.read_text() != before


def test_set_needs_an_equals_sign(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "print", "--set", "node.name"]) == 2
    assert "KEY=VALUE" in capsys.readouterr().err
