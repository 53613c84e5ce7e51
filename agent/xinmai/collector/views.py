"""The views that people query; names and types are frozen by a test.

Below them lie tables of the snapshot's tail (`_tail_*`), of descriptions (`_series`, `_devices`)
and the Parquet files of the sealed sets, joined in `_rows`, `_events`, `_account`, `_captures` and
`_capture_rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    CASE r.stream {_STREAMS} END AS stream
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


CAPTURES: Final = """CREATE VIEW captures AS
SELECT make_timestamptz(min(at_ns) // 1000) AS time, id, edge, node,
    arg_min(trigger, part) AS trigger, arg_max(cause, part) AS cause,
    arg_min(hw_id, part) AS hw_id, arg_min(metric, part) AS metric,
    min(at_ns) AS at_ns, min(from_ns) AS from_ns, max(to_ns) AS to_ns,
    count(DISTINCT part) AS parts,
    coalesce(count(DISTINCT part) = max(part) FILTER (last) AND bool_and(readable), false)
        AS complete,
    max(merged) AS merged, bounded(sum(rows)) AS rows, bounded(sum(readings)) AS readings,
    bounded(sum(missed)) AS missed, bounded(sum(overrun)) AS overrun, bounded(sum(bytes)) AS bytes,
    bool_or(stand_in) AS stand_in
FROM _captures GROUP BY id, edge, node"""

CAPTURE_SAMPLES: Final = """CREATE VIEW capture_samples AS
SELECT lpad(lower(hex(r.capture)), 16, '0') AS capture,
    make_timestamptz(r.time_ns // 1000) AS time, r.time_ns, r.late_ns, r.duration_ns,
    s.edge, s.node, s.hw_id, s.metric, s.attributes, s.unit,
    CASE WHEN r.reason = 0 THEN native_double(r.last, s.type) * s.num / s.den END AS value,
    CASE WHEN r.reason = 0 THEN r.last END AS raw,
    reason_text(r.reason, r.code) AS reason
FROM _capture_rows r JOIN _series s USING (series_id)"""

BASES: Final = ("rows", "events", "account", "captures", "capture_rows")
"""Kinds of tables that a tail and files hold."""


def base_views(parts: Iterable[tuple[str, Sequence[Path]]]) -> list[str]:
    """`_rows` and the like out of (kind, files): tail and files together."""
    return [_union(name, files) for name, files in parts]


def _union(name: str, files: Sequence[Path]) -> str:
    sql = f"CREATE VIEW _{name} AS SELECT * FROM _tail_{name}"
    if files:
        sql += f" UNION ALL BY NAME SELECT * FROM read_parquet({file_list(files)})"
    return sql


ALL: Final = (*MACROS, SAMPLES, SERIES, DEVICES, EVENTS, ACCOUNT, CAPTURES, CAPTURE_SAMPLES)
