"""Canned captures for the collector's stand-in: 10 s at 1 kHz, with a spike of one millisecond."""

from __future__ import annotations

import math
import time
from typing import Any, Final

Json = dict[str, Any]

ID: Final = "c0ffee00c0ffee00"
BROKEN_ID: Final = "0000000000000bad"
ROWS: Final = 10_000
SPIKE_MS: Final = 1234
"""After the trigger; power is SPIKE_W for this one reading."""
SPIKE_W: Final = 999.0
LOST_MS: Final = range(2000, 2100)
"""Rows after the trigger whose temperature timed out."""
GAP_MS: Final = range(-3000, -2900)
"""Rows that are not there."""
_BEGUN_NS: Final = time.time_ns() // 10**9 * 10**9


def captures() -> list[Json]:
    """As `/api/captures` lists them, newest first."""
    base: Json = {
        "time": "",
        "id": ID,
        "edge": "row-a",
        "node": "gpu-a01",
        "trigger": "threshold",
        "cause": "hw.power of GPU-5f2c0a11-0c7e was 999 W, above 950 W",
        "hw_id": "GPU-5f2c0a11-0c7e",
        "metric": "hw.power",
        "at_ns": str(_BEGUN_NS - 60 * 10**9),
        "from_ns": str(_BEGUN_NS - 65 * 10**9),
        "to_ns": str(_BEGUN_NS - 55 * 10**9),
        "parts": 12,
        "complete": True,
        "merged": 2,
        "rows": ROWS,
        "readings": 8 * ROWS,
        "missed": 0,
        "overrun": 0,
        "bytes": 131_072,
        "stand_in": False,
    }
    broken = base | {
        "id": BROKEN_ID,
        "node": "npu-a02",
        "trigger": "event",
        "cause": "0x80E01801: HBM multi-bit ECC error",
        "at_ns": str(_BEGUN_NS - 3600 * 10**9),
        "from_ns": str(_BEGUN_NS - 3605 * 10**9),
        "to_ns": str(_BEGUN_NS - 3598 * 10**9),
        "complete": False,
        "missed": 40,
    }
    return [base, broken]


def _times_ms() -> list[int]:
    return [at for at in range(-5000, 5000) if at not in GAP_MS]


def _power(at_ms: int) -> float:
    if at_ms == SPIKE_MS:
        return SPIKE_W
    return 400 + 90 * math.copysign(1, math.sin(at_ms / 200)) + 2 * math.sin(at_ms)


def _temperature(at_ms: int) -> float | None:
    return None if at_ms in LOST_MS else 60.0 + at_ms / 1000


def _columns() -> list[tuple[Json, Any]]:
    def one(number: int, metric: str, unit: str, kind: str, **attributes: str) -> Json:
        return {
            "id": str(number),
            "hw_id": "GPU-5f2c0a11-0c7e",
            "metric": metric,
            "attributes": attributes,
            "unit": unit,
            "kind": kind,
        }

    temperatures = [
        (one(110 + at, "hw.temperature", "Cel", "gauge", sensor=str(at)), _temperature)
        for at in range(5)
    ]
    return [
        (one(100, "hw.power", "W", "gauge"), _power),
        (one(101, "hw.gpu.utilization", "1", "gauge"), lambda at: 0.8),
        (one(102, "hw.energy", "J", "counter"), lambda at: 1e6 + 0.4 * at),
        *temperatures,
    ]


def detail(capture: Json) -> Json:
    """As `/api/captures/<id>`."""
    series = []
    for meta, value in _columns():
        values = [value(at) for at in _times_ms()]
        held = [one for one in values if one is not None]
        found = {"min": min(held), "max": max(held), "mean": sum(held) / len(held)}
        counts = {"readings": len(values), "values": len(held), "rate_hz": 1000.0}
        series.append(meta | counts | found)
    return {"capture": capture, "series": series}


def samples(capture: Json, ids: list[str]) -> Json:
    """As `/api/captures/<id>/samples`."""
    times = _times_ms()
    series = []
    for meta, value in _columns():
        if meta["id"] in ids:
            values = [value(at) for at in times]
            missing = [[at, "timeout"] for at, one in enumerate(values) if one is None]
            shown = {key: meta[key] for key in ("id", "unit", "kind")}
            t_ns = [at * 10**6 for at in times]
            series.append(shown | {"t_ns": t_ns, "value": values, "missing": missing})
    return {"at_ns": capture["at_ns"], "series": series}
