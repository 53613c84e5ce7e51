"""Answers about captures, out of the store; everything here blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from xinmai.collector.capturerows import id_number
from xinmai.collector.engine import Snapshot, bounded, engine, select
from xinmai.collector.plain import exact
from xinmai.collector.sqltext import literal
from xinmai.errors import Usage

MAX_CAPTURES: Final = 1000
MAX_SERIES: Final = 16
"""Asked for at a time, at full rate."""
MAX_READINGS: Final = 500_000
"""Of one answer at full rate, and sorted at a time for a file."""
FORMATS: Final = ("parquet", "csv")
_NS_KEYS: Final = ("at_ns", "from_ns", "to_ns")

_MINE: Final = """(
    SELECT s.*, r.time_ns, r.late_ns, r.duration_ns, r.last, r.reason, r.code,
        CASE WHEN r.reason = 0 THEN native_double(r.last, s.type) * s.num / s.den END AS value
    FROM _capture_rows r JOIN _series s USING (series_id)
    WHERE r.capture = {number} AND s.edge = {edge} AND s.node = {node} {chosen}
)"""


class UnknownCapture(Exception):
    """There is no such capture."""


def listed(snapshot: Snapshot, edge: str | None, node: str | None, limit: int) -> dict[str, Any]:
    """Captures, newest first."""
    return {"captures": _captures(snapshot, edge, node, None, limit)}


def _captures(
    snapshot: Snapshot, edge: str | None, node: str | None, capture_id: str | None, limit: int
) -> list[dict[str, Any]]:
    asked = {"edge": edge, "node": node, "id": capture_id}
    where = [f"{name} = {literal(value)}" for name, value in asked.items() if value is not None]
    sql = f"SELECT * FROM captures WHERE {' AND '.join(where) or 'true'}"
    with engine(snapshot, threads=1) as connection:
        rows = select(connection, f"{sql} ORDER BY at_ns DESC, id LIMIT {limit}")
    return [{**row, **{key: exact(row[key]) for key in _NS_KEYS}} for row in rows]


def find(
    snapshot: Snapshot, capture_id: str, edge: str | None = None, node: str | None = None
) -> dict[str, Any]:
    """One capture.

    Raises:
        UnknownCapture: it is not here.
        Usage: several nodes have one of this id.
    """
    found = _captures(snapshot, edge, node, capture_id, 2)
    if not found:
        raise UnknownCapture(f"no capture {capture_id}")
    if len(found) > 1:
        raise Usage(f"capture {capture_id} is of several nodes: name edge and node")
    return found[0]


def _mine(capture: dict[str, Any], ids: Iterable[int] | None = None) -> str:
    """Readings of a capture; of some series where ids are given."""
    chosen = ""
    if ids is not None:
        # On the rows, not on the descriptions: whole groups of rows are passed over unread.
        chosen = f"AND r.series_id IN ({', '.join(map(str, ids)) or 'NULL'})"
    return _MINE.format(
        number=id_number(capture["id"]),
        edge=literal(capture["edge"]),
        node=literal(capture["node"]),
        chosen=chosen,
    )


def detail(snapshot: Snapshot, capture: dict[str, Any]) -> dict[str, Any]:
    """A capture and what each of its series holds."""
    sql = f"""
        SELECT series_id::VARCHAR AS id, hw_id, metric, attributes, unit, kind,
            count(*) AS readings, count(value) AS "values", min(value) AS min, max(value) AS max,
            avg(value) AS mean,
            CASE WHEN max(time_ns) > min(time_ns)
                THEN (count(*) - 1) * 1e9 / (max(time_ns) - min(time_ns)) END AS rate_hz
        FROM {_mine(capture)}
        GROUP BY ALL ORDER BY hw_id, metric, attributes, id"""
    with engine(snapshot, threads=1) as connection:
        return {"capture": capture, "series": select(connection, sql)}


def samples(
    snapshot: Snapshot, capture: dict[str, Any], series_ids: Sequence[int]
) -> dict[str, Any]:
    """Some series of a capture, every reading of them; times from the trigger.

    Raises:
        Usage: more than MAX_READINGS.
    """
    mine = _mine(capture, series_ids)
    at_ns = int(capture["at_ns"])
    sql = f"""
        SELECT series_id::VARCHAR AS id, unit, kind,
            list(time_ns - ({at_ns}) ORDER BY time_ns) AS t_ns,
            list(value ORDER BY time_ns) AS value,
            list(CASE WHEN value IS NULL THEN coalesce(reason_text(reason, code), 'not_finite') END
                ORDER BY time_ns) AS reason
        FROM {mine} GROUP BY ALL ORDER BY id"""
    with engine(snapshot, threads=1) as connection:
        (count,) = select(connection, f"SELECT count(*) AS n FROM {mine}")
        if count["n"] > MAX_READINGS:
            raise Usage(f"{count['n']} readings, {MAX_READINGS} at most: ask for fewer series")
        rows = select(connection, sql)
    return {"at_ns": capture["at_ns"], "series": [_sparse(row) for row in rows]}


def _sparse(row: dict[str, Any]) -> dict[str, Any]:
    """Reasons where there is no value, by position: mostly there are none."""
    reasons = row.pop("reason")
    row["missing"] = [[at, text] for at, text in enumerate(reasons) if text is not None]
    return row


def write(snapshot: Snapshot, capture: dict[str, Any], kind: str, out: IO[bytes]) -> int:
    """Write a capture's readings in long form; returns their number.

    Args:
        kind: one of FORMATS. Parquet keeps what the capture is in its metadata, under `xinmai`.

    Raises:
        QueryError: the engine gave up.
    """
    groups = _groups(detail(snapshot, capture)["series"])
    count = 0
    with engine(snapshot, threads=1) as connection, ExitStack() as stack:
        writer = None
        for ids in groups:
            with bounded(connection):
                table = connection.sql(_long_form(capture, kind, ids)).to_arrow_table()
            if writer is None:
                schema = table.schema.with_metadata({"xinmai": json.dumps(capture)})
                writer = stack.enter_context(_writer(kind, out, schema))
            writer.write_table(table.cast(schema))
            count += table.num_rows
    return count


def _groups(series: Sequence[dict[str, Any]]) -> list[list[int]]:
    """Series ids in order, so many together that a sort of their readings stays small."""
    groups: list[list[int]] = [[]]
    held = 0
    for one in series:
        if held + one["readings"] > MAX_READINGS and groups[-1]:
            groups.append([])
            held = 0
        groups[-1].append(int(one["id"]))
        held += one["readings"]
    return groups


def _long_form(capture: dict[str, Any], kind: str, ids: Sequence[int]) -> str:
    attributes = "attributes"
    if kind == "csv":
        # CSV has no maps.
        attributes = """array_to_string([k || '=' || attributes[k]
            FOR k IN list_sort(map_keys(attributes))], ' ') AS attributes"""
    return f"""
        SELECT time_ns, hw_id, metric, {attributes}, value, unit,
            CASE WHEN reason = 0 THEN last END AS raw, reason_text(reason, code) AS reason,
            late_ns, duration_ns
        FROM {_mine(capture, ids)}
        ORDER BY list_position({list(ids)}, series_id), time_ns"""


def _writer(kind: str, out: IO[bytes], schema: pa.Schema) -> Any:
    if kind == "csv":
        return pa.csv.CSVWriter(out, schema)
    return pq.ParquetWriter(out, schema, compression="zstd")
