"""Answers out of the store: one series in buckets, events, the account."""

from __future__ import annotations

import math
from typing import Any, Final

from xinmai.clock import MINUTE_NS
from xinmai.collector.engine import Snapshot, engine, select
from xinmai.collector.plain import exact
from xinmai.collector.registry import SeriesMeta
from xinmai.collector.sqltext import literal

MAX_POINTS: Final = 5000
MAX_EVENTS: Final = 10_000
MAX_MINUTES: Final = 7 * 24 * 60
_MS_NS: Final = 10**6
THREADS: Final = 1

_BUCKETS: Final = """
SELECT min(time_ns) AS t,
    {value} AS value,
    min(native_double(min, '{type}')) FILTER (reason = 0) * {num} / {den} AS low,
    max(native_double(max, '{type}')) FILTER (reason = 0) * {num} / {den} AS high,
    CASE WHEN count(*) FILTER (reason = 0) > 0 THEN sum(count) FILTER (reason = 0)
        ELSE sum(count) END::BIGINT AS count
FROM _rows
WHERE series_id = {id} AND time_ns >= {from_ns} AND time_ns < {to_ns}
GROUP BY (time_ns - {from_ns}) // {bucket_ns}
ORDER BY t
"""


def samples(
    snapshot: Snapshot, meta: SeriesMeta, from_ms: int, to_ms: int, points: int
) -> dict[str, Any]:
    """`/api/samples`: the mean of a gauge's bucket, the last of anything else; blocks."""
    from_ns, to_ns = from_ms * _MS_NS, to_ms * _MS_NS
    bucket_ns = max(1, math.ceil((to_ns - from_ns) / points))
    sql = _BUCKETS.format(
        value=_value(meta),
        type=meta.type,
        num=meta.num,
        den=meta.den,
        id=meta.series_id,
        from_ns=from_ns,
        to_ns=to_ns,
        bucket_ns=bucket_ns,
    )
    held = snapshot.between(from_ns, to_ns)
    with engine(held, threads=THREADS, whole=False) as connection:
        rows = select(connection, sql)
    return {
        "id": str(meta.series_id),
        "unit": meta.unit,
        "kind": meta.kind,
        "t_ms": [row["t"] / _MS_NS for row in rows],
        "value": [row["value"] for row in rows],
        "min": [row["low"] for row in rows],
        "max": [row["high"] for row in rows],
        "count": [row["count"] for row in rows],
    }


def _value(meta: SeriesMeta) -> str:
    last = "arg_max(last, time_ns) FILTER (reason = 0)"
    if meta.kind == "gauge":
        # One reading keeps its exact value, which a sum through doubles would not always.
        total = "sum(sum) FILTER (reason = 0) / sum(count) FILTER (reason = 0)"
        one = f"native_double({last}, '{meta.type}')"
        value = f"CASE WHEN sum(count) FILTER (reason = 0) = 1 THEN {one} ELSE {total} END"
    else:
        value = f"native_double({last}, '{meta.type}')"
    return f"({value}) * {meta.num} / {meta.den}"


def events(snapshot: Snapshot, limit: int) -> dict[str, Any]:
    """`/api/events`, newest first; blocks."""
    with engine(snapshot, threads=THREADS) as connection:
        rows = select(connection, f"SELECT * FROM events ORDER BY time_ns DESC LIMIT {limit}")
    return {"events": [{**row, "time_ns": exact(row["time_ns"])} for row in rows]}


def account(
    snapshot: Snapshot, edge: str | None, node: str | None, minutes: int, now_ns: int
) -> dict[str, Any]:
    """`/api/account`, oldest first; blocks."""
    first_us = (now_ns // MINUTE_NS - minutes + 1) * 60_000_000
    where = [f"minute >= make_timestamptz({first_us})"]
    where += [f"edge = {literal(edge)}"] if edge is not None else []
    where += [f"node = {literal(node)}"] if node is not None else []
    sql = f"SELECT * FROM account WHERE {' AND '.join(where)} ORDER BY minute, edge, node"
    with engine(snapshot, threads=THREADS) as connection:
        return {"rows": select(connection, sql)}


def recent_account(snapshot: Snapshot, first_minute: int) -> list[dict[str, Any]]:
    """Increments since a minute, for the quality of nodes after a restart; blocks."""
    sql = f"SELECT * FROM _account WHERE minute >= {first_minute}"
    with engine(snapshot, threads=THREADS, whole=False) as connection:
        return select(connection, sql)
