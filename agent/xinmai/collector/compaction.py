"""Many small sealed sets become one: of an hour, later of a day."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from xinmai.collector.account import ACCOUNT_SCHEMA, AccountBook
from xinmai.collector.capturerows import CAPTURE_SCHEMA
from xinmai.collector.entry import EVENT_SCHEMA
from xinmai.collector.files import write_file
from xinmai.collector.sets import (
    CAPTURE_ROWS,
    FACTS,
    ROW_GROUP_ROWS,
    SAMPLES,
    STATE,
    Facts,
    SealedSet,
    prepare,
    publish,
    write_captures,
    write_side,
)
from xinmai.collector.sqltext import EngineConfig, file_list, literal

HOUR_NS: Final = 3600 * 10**9
DAY_NS: Final = 24 * HOUR_NS
SPANS_NS: Final = (HOUR_NS, DAY_NS)
"""By the level of the sources."""
MAX_ROWS: Final = 32 * 2**20
"""A merged set stays below this; a set that is larger by itself stays as it is."""
MEMORY: Final = "384MB"


def due(sets: Sequence[SealedSet], now_ns: int) -> list[SealedSet]:
    """The oldest neighbours that belong together and whose hour or day is over; [] when none."""
    for level, span_ns in enumerate(SPANS_NS):
        for period, run in groupby(sets, partial(_period, level, span_ns)):
            if 0 <= period < now_ns // span_ns:
                group = _within_rows(list(run))
                if len(group) > 1:
                    return group
    return []


def _period(level: int, span_ns: int, one: SealedSet) -> int:
    """Which hour or day a set is of; -1 where it is merged to more than that already."""
    return one.facts.sealed_ns // span_ns if one.facts.level <= level else -1


def _within_rows(run: Sequence[SealedSet]) -> list[SealedSet]:
    """The first sets of a run that fit one set and are more than one."""
    group: list[SealedSet] = []
    for one in run:
        if sum(map(_rows, [*group, one])) > MAX_ROWS:
            if len(group) > 1:
                break
            group = []
        group.append(one)
    return group if sum(map(_rows, group)) <= MAX_ROWS else []


def _rows(one: SealedSet) -> int:
    return one.facts.rows + one.facts.capture_rows


def merge(data: Path, sources: Sequence[SealedSet], scratch: Path) -> SealedSet:
    """Write one set that covers several neighbours; they are dead from then on.

    Args:
        scratch: where a sort may spill.

    Raises:
        OSError, duckdb.Error, pa.ArrowException: nothing appeared.
    """
    first, last = sources[0].first, sources[-1].last
    building = prepare(data, first, last)
    try:
        facts = _facts(sources)
        samples = [one.samples for one in sources]
        _merge_rows(samples, "series_id, time_ns", building / SAMPLES, scratch)
        captured = [one.capture_rows for one in sources if one.capture_rows]
        if captured:
            order = "capture, series_id, time_ns"
            _merge_rows(captured, order, building / CAPTURE_ROWS, scratch)
        write_file(building / FACTS, facts.to_json())
        write_side(building, _events(sources), _account(sources))
        write_captures(building, _captures(sources))
        write_file(building / STATE, (sources[-1].path / STATE).read_bytes())
        return publish(data, building, first, last)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _facts(sources: Sequence[SealedSet]) -> Facts:
    spans = [one.facts for one in sources if one.facts.rows]
    same_hour = len({one.facts.sealed_ns // HOUR_NS for one in sources}) == 1
    return Facts(
        rows=sum(one.facts.rows for one in sources),
        sealed_ns=sources[-1].facts.sealed_ns,
        min_ns=min((facts.min_ns for facts in spans), default=0),
        max_ns=max((facts.max_ns for facts in spans), default=0),
        level=1 if same_hour else 2,
        events=any(one.facts.events for one in sources),
        account=any(one.facts.account for one in sources),
        captures=sum(one.facts.captures for one in sources),
        capture_rows=sum(one.facts.capture_rows for one in sources),
    )


def _merge_rows(sources: Sequence[Path], order: str, path: Path, scratch: Path) -> None:
    scratch.mkdir(parents=True, exist_ok=True)
    files = file_list(sources)
    config: EngineConfig = {
        "threads": 1,
        "memory_limit": MEMORY,
        "temp_directory": str(scratch),
    }
    with duckdb.connect(":memory:", config=config) as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(
            f"COPY (SELECT * FROM read_parquet({files}) ORDER BY {order}) "
            f"TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, "
            f"ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
        )


def _events(sources: Iterable[SealedSet]) -> pa.Table:
    tables = [pq.read_table(one.events, schema=EVENT_SCHEMA) for one in sources if one.events]
    return pa.concat_tables([EVENT_SCHEMA.empty_table(), *tables])


def _captures(sources: Iterable[SealedSet]) -> pa.Table:
    held = [pq.read_table(one.captures, schema=CAPTURE_SCHEMA) for one in sources if one.captures]
    return pa.concat_tables([CAPTURE_SCHEMA.empty_table(), *held])


def _account(sources: Iterable[SealedSet]) -> pa.Table:
    book = AccountBook()
    for one in sources:
        if one.account:
            book.load(pq.read_table(one.account, schema=ACCOUNT_SCHEMA).to_pylist())
    return book.table()
