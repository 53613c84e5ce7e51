"""The page's decoder of columns in the browser that runs it, against the vectors of the codec."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from playwright.sync_api import Browser

from fakes.fakecollector import FakeCollector
from native import reference
from native.test_column import packed

pytestmark = pytest.mark.browser
TESTS = Path(__file__).parents[3]
VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (TESTS / "native" / "vectors" / "column.json").read_text("utf-8")
)
PROGRAM = """async (jobs) => {
  const { unpackColumns } = await import("/web/column.js");
  return jobs.map(([hex, lengths]) => {
    const data = Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
    try {
      return unpackColumns(data, lengths).map((column) => Array.from(column, String));
    } catch (error) {
      if (error instanceof RangeError) return error.message;
      throw error;
    }
  });
}"""
Job = tuple[str, list[int]]
Unpack = Callable[[list[Job]], list[Any]]


@pytest.fixture(scope="module")
def unpack(browser: Browser, fake: FakeCollector) -> Iterator[Unpack]:
    """Columns of each job as decimal strings, or why they were refused."""
    page = browser.new_page()
    page.goto(fake.url)
    yield lambda jobs: page.evaluate(PROGRAM, [list(job) for job in jobs])
    page.close()


@pytest.mark.statement("COL-14")
def test_vectors_come_back_exactly_beyond_2_to_the_53(unpack: Unpack) -> None:
    vectors = VECTORS["columns"]
    found = unpack([(vector["packed"], [len(vector["values"])]) for vector in vectors])
    for vector, columns in zip(vectors, found, strict=True):
        assert columns == [vector["values"]], vector["name"]


@pytest.mark.statement("COL-14")
def test_damaged_vectors_are_refused(unpack: Unpack) -> None:
    vectors = VECTORS["damaged"]
    found = unpack([(vector["packed"], [vector["n"]]) for vector in vectors])
    for vector, reason in zip(vectors, found, strict=True):
        assert isinstance(reason, str), vector["name"]


def test_columns_follow_each_other_and_empty_ones_take_nothing(unpack: Unpack) -> None:
    columns = [[1, 2, 3], [], [5] * 3000, [-(2**63)], []]
    lengths = [len(column) for column in columns]
    (found,) = unpack([(packed(columns).hex(), lengths)])
    assert found == [list(map(str, column)) for column in columns]


def test_flipped_bits_are_refused_where_the_reference_refuses(unpack: Unpack) -> None:
    rng = Random(6)
    jobs: list[Job] = []
    for vector in VECTORS["columns"]:
        data = bytes.fromhex(vector["packed"])
        for _ in range(10 if len(data) < 400 else 0):
            bad = bytearray(data)
            bad[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            jobs.append((bad.hex(), [len(vector["values"])]))
    for (data_hex, lengths), found in zip(jobs, unpack(jobs), strict=True):
        try:
            expected = reference.unpack(bytes.fromhex(data_hex), lengths)
        except ValueError:
            assert isinstance(found, str), data_hex
        else:
            assert found == [list(map(str, expected))], data_hex
