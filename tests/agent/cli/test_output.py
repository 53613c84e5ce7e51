from __future__ import annotations

import re
import sys

import pytest

from xinmai.cli.output import print_table

ROWS = [("a", None, 1.5), ("longer", "芯脉", 22), ("two\nlines", "e\u0301", "")]


def test_table_in_a_pipe_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "text", "number"), ROWS, right=("number",))
    assert capsys.readouterr().out.splitlines() == [
        "name       text  number",
        "a          -        1.5",
        "longer     芯脉      22",
        "two lines  e\u0301",
    ]


def test_title_stands_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [("a",)], title="all of them")
    assert capsys.readouterr().out == "all of them\nname\na\n"


def test_table_without_rows_has_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "text"), [])
    assert capsys.readouterr().out == "name  text\n"


def test_table_on_a_terminal_fits_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    print_table(("name", "text"), [("a", "word " * 30)])
    out = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= 40
    assert out.count("word") == 30
