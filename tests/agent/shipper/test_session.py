from __future__ import annotations

from pathlib import Path

import pytest

from xinmai.shipper.session import next_session


@pytest.mark.statement("WIRE-20")
def test_session_grows_over_restarts(tmp_path: Path) -> None:
    assert next_session(tmp_path) < next_session(tmp_path) < next_session(tmp_path)


@pytest.mark.statement("WIRE-20")
@pytest.mark.parametrize("content", ["", "not a number", "\x00" * 8, "-7", "9" * 30])
def test_a_lost_or_broken_session_file_never_goes_backwards(tmp_path: Path, content: str) -> None:
    before = next_session(tmp_path)
    (tmp_path / "session").write_text(content, "utf-8")
    assert next_session(tmp_path) >= before


def test_a_directory_that_cannot_be_written_still_gives_a_number(tmp_path: Path) -> None:
    assert next_session(tmp_path / "absent") > 0
