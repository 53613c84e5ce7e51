from __future__ import annotations

from pathlib import Path

import pytest

from xinmai.shipper.retained import Retained

FIRST, SECOND = "0" * 16, "00000000000000ff"


def test_schemas_are_known_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "inventories"
    one = Retained(path)
    one.add(FIRST)
    one.add(SECOND)
    one.discard(FIRST)
    one.discard(FIRST)
    assert Retained(path).schemas == {SECOND}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"../../x\n+\n#\n" + b"g" * 16])
def test_what_is_no_schema_is_passed_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inventories"
    path.write_bytes(content + b"\n" + FIRST.encode() + b"\n")
    assert Retained(path).schemas == {FIRST}


def test_a_directory_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    one = Retained(tmp_path / "absent" / "inventories")
    one.add(FIRST)
    assert one.schemas == {FIRST}
