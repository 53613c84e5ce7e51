from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from xinmai.cli.main import main
from xinmai.collector import query as collector_query
from xinmai.collector.query import QueryError

ROWS: list[dict[str, Any]] = [
    {"metric": "hw.power", "value": 1 / 3, "attributes": {"a": "b"}, "n": 7, "reason": None},
    {"metric": "hw.power", "value": None, "attributes": {}, "n": 8, "reason": "timeout"},
]


class Asked:
    """Stands in for the store; keeps what it was asked."""

    def __init__(self) -> None:
        self.store = Path()
        self.sql = ""

    def __call__(self, store: Path, sql: str) -> list[dict[str, Any]]:
        self.store, self.sql = store, sql
        if "nonsense" in sql:
            raise QueryError("Parser Error: nonsense")
        return [] if "FALSE" in sql else ROWS


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    monkeypatch.setattr(collector_query, "query", found)
    return found


def test_json_is_one_array_of_objects(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--json", "SELECT 1"]) == 0
    assert json.loads(capsys.readouterr().out) == ROWS


def test_no_rows_are_an_empty_array(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--json", "SELECT 1 WHERE FALSE"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_table_for_people(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "SELECT 1"]) == 0

    captured = capsys.readouterr()
    assert "0.333333" in captured.out
    assert "a=b" in captured.out
    assert captured.err == "xinmai: 2 rows\n"


def test_store_is_the_configured_one(asked: Asked, tmp_path: Path) -> None:
    assert main(["query", "SELECT 1", "--set", f"node.state_dir={tmp_path}"]) == 0
    assert asked.store == tmp_path / "store"


def test_store_can_be_named(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["query", "SELECT 1", "--store", "kept"]) == 0

    assert asked.store == tmp_path / "kept"


def test_statement_from_standard_input(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 7"))

    assert main(["query", "-"]) == 0

    assert asked.sql == "SELECT 7"


def test_wrong_statement_is_wrong_use(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "nonsense"]) == 2
    assert capsys.readouterr().err == "xinmai: Parser Error: nonsense\n"
