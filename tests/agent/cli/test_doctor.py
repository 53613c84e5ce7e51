from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from xinmai.cli import doctor as command
from xinmai.cli.main import main
from xinmai.doctor import Check

FINE = Check("python", "pass", "Python 3.11.2")
LESS = Check("clock", "warn", "the wall clock is not synchronised", "run chrony")
BAD = Check("broker", "fail", "mqtt://x cannot be reached", "start the broker")


def found(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    def diagnose(*_: Any) -> Iterator[Check]:
        yield from checks

    monkeypatch.setattr(command, "diagnose", diagnose)


def test_warnings_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, FINE, LESS)

    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ready"


def test_failure_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, FINE, BAD)

    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "not ready: broker"


def test_json_is_frozen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, FINE, BAD)

    assert main(["doctor", "--json"]) == 1

    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "checks": [
            {"id": "python", "state": "pass", "message": "Python 3.11.2", "fix": ""},
            {
                "id": "broker",
                "state": "fail",
                "message": "mqtt://x cannot be reached",
                "fix": "start the broker",
            },
        ],
    }


def test_this_machine_can_be_examined(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["ok"] else 1)
    states = {check["id"]: check["state"] for check in report["checks"]}
    assert (states["python"], states["native"]) == ("pass", "pass")
    assert "plugin.host" in states
