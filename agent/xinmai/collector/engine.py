"""A snapshot of the store behind an in-memory DuckDB that reads it and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from xinmai.collector import statements, views
from xinmai.collector.plain import plain_rows
from xinmai.collector.registry import DeviceRow, SeriesView, device_table
from xinmai.collector.sets import SealedSet
from xinmai.collector.sqltext import EngineConfig
from xinmai.collector.tail import TailTables
from xinmai.errors import Usage

TIMEOUT_S: Final = 30.0
MEMORY: Final = "512MB"
MAX_RESULT_ROWS: Final = 1_000_000
MAX_RESULT_BYTES: Final = 256 * 2**20


class QueryError(Usage):
    """The engine refused a query or gave up on it; the words are the engine's."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one query sees; nothing in it changes."""

    sets: Sequence[SealedSet]
    tail: TailTables
    series: SeriesView
    devices: Sequence[DeviceRow]

    def between(self, from_ns: int, to_ns: int) -> Snapshot:
        """Without the sets that have no row in a span of time."""
        held = [
            one
            for one in self.sets
            if one.facts.rows and one.facts.max_ns >= from_ns and one.facts.min_ns <= to_ns
        ]
        return Snapshot(held, self.tail, self.series, self.devices)


@contextmanager
def engine(
    snapshot: Snapshot, *, threads: int = 2, whole: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the views, locked: no file but the snapshot's, no setting can change.

    Args:
        whole: False for `_rows` and the like and the macros alone, which is faster.
    """
    config: EngineConfig = {
        "threads": threads,
        "memory_limit": MEMORY,
        "temp_directory": "",
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(":memory:", config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if whole:
            connection.register("_series", snapshot.series.table)
            connection.register("_devices", device_table(snapshot.devices))
        _lay_out(connection, snapshot, views.ALL if whole else views.MACROS)
        yield connection


def _lay_out(
    connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, upper: Sequence[str]
) -> None:
    parts: list[tuple[str, list[Path]]] = []
    for name in views.BASES:
        connection.register(f"_tail_{name}", getattr(snapshot.tail, name))
        parts.append((name, [path for one in snapshot.sets if (path := _file(one, name))]))
    allowed = [str(path) for _, paths in parts for path in paths]
    connection.execute("SET allowed_paths = $paths", {"paths": allowed})
    for sql in ("SET enable_external_access = false", "SET lock_configuration = true"):
        connection.execute(sql)
    for sql in (*views.base_views(parts), *upper):
        connection.execute(sql)


def _file(one: SealedSet, name: str) -> Path | None:
    """A set's file of one kind, None where it has none."""
    if name == "rows":
        return one.samples if one.facts.rows else None
    path: Path | None = getattr(one, name)
    return path


def select(
    connection: duckdb.DuckDBPyConnection, sql: str, *, timeout_s: float = TIMEOUT_S
) -> list[dict[str, Any]]:
    """Run one SELECT and return JSON-able rows.

    Raises:
        QueryError: not one SELECT, wrong, too slow, or too large a result.
    """
    with bounded(connection, timeout_s=timeout_s):
        statements.check(connection, sql)
        connection.execute("BEGIN TRANSACTION READ ONLY")
        try:
            return _rows(connection, sql)
        finally:
            connection.execute("ROLLBACK")


@contextmanager
def bounded(
    connection: duckdb.DuckDBPyConnection, *, timeout_s: float = TIMEOUT_S
) -> Iterator[None]:
    """Interrupt what runs inside when it takes too long.

    Raises:
        QueryError: that, or what the engine said.
    """
    late = threading.Event()

    def stop() -> None:
        late.set()
        connection.interrupt()

    timer = threading.Timer(timeout_s, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        # While a result streams the engine's errors come through Arrow, as OSError.
        if late.is_set():
            raise QueryError(f"query took more than {timeout_s:g} s") from None
        raise QueryError(str(error)) from error
    finally:
        timer.cancel()


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    result = connection.sql(sql)
    if result is None:
        raise QueryError("only one SELECT can be run")
    rows: list[dict[str, Any]] = []
    size = 0
    for batch in result.to_arrow_reader(16_384):
        size += batch.nbytes
        if len(rows) + batch.num_rows > MAX_RESULT_ROWS or size > MAX_RESULT_BYTES:
            raise QueryError(f"result is larger than {MAX_RESULT_ROWS} rows: add LIMIT")
        rows.extend(plain_rows(batch))
    return rows
