"""The views that people query; names and types are frozen by a test.

Below them lie tables of the snapshot's tail (`_tail_*`), of descriptions (`_series`, `_devices`)
and the Parquet files of the sealed sets, joined in `_rows`, `_events` and `_account`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xinmai.api import Reason
from xinmai.collector.rows import STREAM_CODES
from xinmai.collector.sqltext import file_list, literal

_REASONS: Final = " ".join(
    f"WHEN {reason.value} THEN {literal(reason.text)}"
    for reason in Reason
    if reason is not Reason.VENDOR_ERROR
)
_STREAMS: Final = " ".join(
    f"WHEN {code} THEN {literal(stream)}" for stream, code in STREAM_CODES.items()
)

MACROS: Final = (
    # The double whose bits an integer holds; every factor and product here is exact.
    """CREATE MACRO bits_double(bits) AS
    (CASE WHEN bits < 0 THEN -1.0 ELSE 1.0 END) * (CASE ((bits >> 52) & 2047)
        WHEN 0 THEN (bits & 4503599627370495)::DOUBLE * pow(2.0::DOUBLE, -1074)
        WHEN 2047 THEN NULL
        ELSE ((bits & 4503599627370495) | 4503599627370496)::DOUBLE
            * pow(2.0::DOUBLE, ((bits >> 52) & 2047)::INTEGER - 1075)
    END)""",
    """CREATE MACRO native_double(cell, type) AS CASE type
        WHEN 'f64' THEN bits_double(cell)
        WHEN 'u64' THEN CASE WHEN cell < 0 THEN cell::DOUBLE + 18446744073709551616.0
            ELSE cell::DOUBLE END
        ELSE cell::DOUBLE
    END""",
    "CREATE MACRO bounded(total) AS least(total, 9223372036854775807)::BIGINT",
    f"""CREATE MACRO reason_text(reason, code) AS CASE reason
        WHEN 0 THEN NULL
        WHEN {Reason.VENDOR_ERROR.value} THEN 'vendor_error(' || code || ')'
        {_REASONS}
        ELSE 'reason_' || reason
    END""",
)

SAMPLES: Final = f"""CREATE VIEW samples AS
SELECT
    r.time,
    r.time_ns,
    s.edge,
    s.node,
    s.hw_id,
    s.metric,
    s.attributes,
    s.unit,
    CASE
        WHEN r.reason <> 0 THEN NULL
        WHEN s.kind = 'gauge' AND r.count > 1 THEN r.sum / r.count * s.num / s.den
        ELSE native_double(r.last, s.type) * s.num / s.den
    END AS value,
    CASE WHEN r.reason = 0 THEN r.last END AS raw,
    r.count,
    CASE WHEN r.reason = 0 THEN native_double(r.min, s.type) * s.num / s.den END AS min,
    CASE WHEN r.reason = 0 THEN native_double(r.max, s.type) * s.num / s.den END AS max,
    reason_text(r.reason, r.code) AS reason,
    CASE r.stream {_STREAMS} ELSE 'capture' END AS stream
FROM _rows r JOIN _series s USING (series_id)"""

SERIES: Final = """CREATE VIEW series AS
SELECT edge, node, hw_id, metric, attributes, unit, kind, num::DOUBLE / den AS scale, native,
    refresh_ns, window_ns, plugin
FROM _series"""

DEVICES: Final = """CREATE VIEW devices AS
SELECT edge, node, hw_id, vendor, model, serial_number, parent, pci_bdf,
    TRY_CAST("index" AS INTEGER) AS "index", plugin, stand_in, present,
    make_timestamptz(first_seen_ns // 1000) AS first_seen,
    make_timestamptz(last_seen_ns // 1000) AS last_seen
FROM _devices"""

EVENTS: Final = """CREATE VIEW events AS
SELECT make_timestamptz(time_ns // 1000) AS time, time_ns, edge, node, hw_id, code, class, severity,
    action, message, attributes
FROM _events"""

ACCOUNT: Final = """CREATE VIEW account AS
WITH totals AS (
    SELECT edge, node, minute, bounded(sum(taken)) AS taken, bounded(sum(stored)) AS stored,
        bounded(sum(lost)) AS lost, bounded(sum(missed)) AS missed
    FROM _account GROUP BY ALL
), reasons AS (
    SELECT edge, node, minute, map_from_entries(list((reason, n) ORDER BY reason)) AS lost_by_reason
    FROM (
        SELECT edge, node, minute, reason, bounded(sum(lost)) AS n
        FROM _account WHERE reason IS NOT NULL GROUP BY ALL
    ) GROUP BY ALL
)
SELECT edge, node, make_timestamptz(minute * 60000000) AS minute, taken, stored, lost, missed,
    coalesce(lost_by_reason, MAP {}::MAP(VARCHAR, BIGINT)) AS lost_by_reason
FROM totals LEFT JOIN reasons USING (edge, node, minute)"""


def base_views(rows: Sequence[Path], events: Sequence[Path], account: Sequence[Path]) -> list[str]:
    """`_rows`, `_events` and `_account`: tail and files together."""
    return [
        _union("_rows", "_tail_rows", rows),
        _union("_events", "_tail_events", events),
        _union("_account", "_tail_account", account),
    ]


def _union(name: str, tail: str, files: Sequence[Path]) -> str:
    sql = f"CREATE VIEW {name} AS SELECT * FROM {tail}"
    if files:
        sql += f" UNION ALL BY NAME SELECT * FROM read_parquet({file_list(files)})"
    return sql


ALL: Final = (*MACROS, SAMPLES, SERIES, DEVICES, EVENTS, ACCOUNT)
