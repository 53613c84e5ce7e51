"""What a run stored, by the collector's own account."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from xinmai.up.collectorapi import CollectorApi

_TOTALS = """
SELECT coalesce(sum(taken), 0) AS taken, coalesce(sum(stored), 0) AS stored,
       coalesce(sum(lost), 0) AS lost, coalesce(sum(missed), 0) AS missed
FROM account WHERE node = '{node}' AND edge = '{edge}'
"""
_LOST = "SELECT lost_by_reason FROM account WHERE node = '{node}' AND edge = '{edge}' AND lost > 0"


@dataclass(frozen=True, slots=True)
class Totals:
    """Readings of one node since its first."""

    taken: int = 0
    stored: int = 0
    lost: int = 0
    missed: int = 0
    lost_by_reason: Counter[str] = field(default_factory=Counter)


def totals(api: CollectorApi, edge: str, node: str) -> Totals:
    """Ask the collector; node and edge are names of WIRE-2, safe in SQL."""
    (row,) = api.query(_TOTALS.format(edge=edge, node=node))
    reasons: Counter[str] = Counter()
    for lost in api.query(_LOST.format(edge=edge, node=node)):
        reasons.update({key: int(value) for key, value in lost["lost_by_reason"].items()})
    return Totals(
        int(row["taken"]), int(row["stored"]), int(row["lost"]), int(row["missed"]), reasons
    )


def summarise(
    api: CollectorApi, before: Totals, edge: str, node: str, store: str, undelivered: int
) -> dict[str, Any]:
    """The last line of `up --json`: counts of this run; keys are frozen by a test.

    Args:
        before: totals when the run began.
        undelivered: readings that stay in the spool; they count as lost by `shutdown` here,
            and are delivered by the next run.
    """
    after = totals(api, edge, node)
    lost_by_reason = Counter(after.lost_by_reason)
    lost_by_reason.subtract(before.lost_by_reason)
    if undelivered:
        lost_by_reason["shutdown"] += undelivered
    fleet = api.fleet()
    mine = [one for one in fleet["nodes"] if one["node"] == node and one["edge"] == edge]
    return {
        "nodes": len(fleet["nodes"]),
        "devices": sum(len(one["devices"]) for one in mine),
        "series": _count_series(api, edge, node),
        "samples_taken": after.taken - before.taken + undelivered,
        "samples_stored": after.stored - before.stored,
        "samples_lost": after.lost - before.lost + undelivered,
        "samples_missed": after.missed - before.missed,
        "lost_by_reason": {key: n for key, n in sorted(lost_by_reason.items()) if n},
        "gaps": sum(one["quality"]["gaps"] for one in mine),
        "store": store,
        "url": api.url,
    }


def _count_series(api: CollectorApi, edge: str, node: str) -> int:
    (row,) = api.query(
        f"SELECT count(*) AS n FROM series WHERE node = '{node}' AND edge = '{edge}'"
    )
    return int(row["n"])
