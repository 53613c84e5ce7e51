"""SQL over a store: what may run, how it looks, and that every row counts once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.collector.node import Node
from agent.collector.rig import Rig, running
from xinmai.collector import engine as module
from xinmai.collector import sets
from xinmai.collector.engine import QueryError, engine, select
from xinmai.collector.query import query, query_store, running_url
from xinmai.errors import Usage

COUNT = "SELECT count(*) AS n FROM samples"

REFUSED = [
    "INSERT INTO _series VALUES (1)",
    "CREATE TABLE t AS SELECT 1",
    "COPY (SELECT 1) TO '/tmp/xinmai-out.csv'",
    "WITH x AS (COPY (SELECT 1) TO '{victim}' (USE_TMP_FILE false)) SELECT 1",
    "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM json_execute_serialized_sql('{{}}')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('{victim}')",
    "SELECT * FROM glob('/*')",
    "ATTACH '/tmp/xinmai.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 64",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW samples",
    "",
    "not sql",
    "SELECT nothing FROM samples",
    "SELECT '" + 70_000 * "a" + "'",
]


@pytest.mark.statement("HTTP-2")
async def test_nothing_but_one_select_runs(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1))
        await rig.seal()
        victim = rig.core.store.sets[0].samples
        before = victim.read_bytes()
        with engine(rig.core.snapshot()) as connection:
            for sql in REFUSED:
                with pytest.raises(Usage):
                    select(connection, sql.format(victim=victim) if "{" in sql else sql)
        assert victim.read_bytes() == before
        assert rig.select(COUNT) == [{"n": 4}]


ACCEPTED = [
    "SELECT 1",
    "SELECT 1;",
    "FROM series LIMIT 1",
    "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r WHERE a < 3) SELECT * FROM r",
    "SELECT node FROM series UNION SELECT node FROM devices",
    "SELECT * FROM range(3)",
    "SELECT unnest(map_keys(attributes)) FROM series",
    "DESCRIBE samples",
    "SUMMARIZE series",
    "SELECT avg(value) OVER (PARTITION BY metric ORDER BY time) FROM samples",
    "SELECT time_bucket(INTERVAL 1 minute, time) AS t, avg(value) FROM samples GROUP BY t",
    "SELECT function_name FROM duckdb_functions() LIMIT 1",
    "VALUES (1)",
]


@pytest.mark.parametrize("sql", ACCEPTED)
async def test_reading_in_every_form_runs(tmp_path: Path, sql: str) -> None:
    async with running(tmp_path) as rig:
        rig.select(sql)


@pytest.mark.statement("HTTP-2")
async def test_a_query_is_bounded_in_time_rows_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as rig:
        forever = "SELECT max(a.range * b.range) FROM range(10000000) a, range(10000000) b"
        with (
            engine(rig.core.snapshot()) as connection,
            pytest.raises(QueryError, match=r"more than 0\.1 s"),
        ):
            select(connection, forever, timeout_s=0.1)
        monkeypatch.setattr(module, "MAX_RESULT_ROWS", 1000)
        with pytest.raises(QueryError, match="add LIMIT"):
            rig.select("SELECT * FROM range(1001)")
        monkeypatch.setattr(module, "MEMORY", "50MB")
        with pytest.raises(QueryError, match="[Mm]emory"):
            rig.select("SELECT count(*) FROM (SELECT DISTINCT range, random() FROM range(9000000))")


async def test_answers_are_plain_json(tmp_path: Path) -> None:
    sql = """SELECT now() AS t, 'nan'::DOUBLE AS n, 1.50::DECIMAL(9,2) AS d, 3::HUGEINT AS h,
        9007199254740993 AS i, DATE '2026-01-02' AS day, [1, 2] AS l, {'a': 1.5} AS s,
        MAP {'k': 2} AS m, INTERVAL 1 day AS v, '\\x01'::BLOB AS b, 1 AS x, 2 AS x, NULL AS u,
        TIMESTAMP '2026-01-02 03:04:05' AS p, true AS y, uuid() AS w,
        MAP {1: TIMESTAMP '2026-01-01'} AS q"""
    async with running(tmp_path) as rig:
        (row,) = rig.select(sql)
    again = json.loads(json.dumps(row, allow_nan=False))
    assert again.pop("t").endswith("Z")
    assert len(again.pop("w")) == 36
    assert again == {
        "n": None,
        "d": 1.5,
        "h": 3,
        "i": 9007199254740993,
        "day": "2026-01-02",
        "l": [1, 2],
        "s": {"a": 1.5},
        "m": {"k": 2},
        "v": "P0M1DT0S",
        "b": "01",
        "x": 1,
        "x_1": 2,
        "u": None,
        "p": "2026-01-02T03:04:05.000000",
        "y": True,
        "q": {"1": "2026-01-01T00:00:00"},
    }


async def fill(rig: Rig, node: Node) -> None:
    await rig.take(node.announce(), node.second(1), node.event())
    await rig.seal()
    await rig.take(node.second(2))
    await rig.log.end_segment()
    await rig.take(node.second(3))


VIEWS = [
    "FROM samples ORDER BY ALL",
    "FROM series ORDER BY ALL",
    "FROM devices",
    "FROM events",
    "FROM account",
]


async def test_with_and_without_a_collector_the_answer_is_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await fill(rig, Node())
        running_answers = [rig.select(sql) for sql in VIEWS]
        beside = [query_store(tmp_path, sql) for sql in VIEWS]
        assert beside == running_answers
    assert [query(tmp_path, sql) for sql in VIEWS] == running_answers
    assert query_store(tmp_path, COUNT) == [{"n": 12}]


def file_times(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in store.rglob("*")}


async def test_reading_beside_a_collector_changes_nothing_on_disk(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await fill(rig, Node())
        before = file_times(tmp_path)
        query_store(tmp_path, COUNT)
        assert file_times(tmp_path) == before


async def test_rows_count_once_while_they_are_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    async with running(tmp_path) as rig:
        await fill(rig, Node())

        def look(name: str) -> None:
            inner = getattr(sets, name)

            def with_a_look(*args: object, **kwargs: object) -> object:
                seen.append(query_store(tmp_path, COUNT))
                result = inner(*args, **kwargs)
                seen.append(query_store(tmp_path, COUNT))
                seen.append(rig.select(COUNT))
                return result

            monkeypatch.setattr(sets, name, with_a_look)

        for name in ("write_samples", "publish"):
            look(name)
        await rig.seal()
    assert seen == [[{"n": 12}]] * len(seen)
    assert len(seen) == 12


def test_no_store_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="no store"):
        query_store(tmp_path / "missing", "SELECT 1")


def test_a_collector_that_is_gone_is_not_asked(tmp_path: Path) -> None:
    for text in ("", "{}", '{"url": "http://127.0.0.1:1", "pid": 999999999}'):
        (tmp_path / "collector.json").write_text(text)
        assert running_url(tmp_path) is None
    # Its process id may be somebody else's by now.
    (tmp_path / "collector.json").write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    assert query(tmp_path, "SELECT 1 AS one") == [{"one": 1}]
