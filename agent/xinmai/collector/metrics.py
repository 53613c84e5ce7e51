"""`/metrics`: the collector's own counters and each node's quality, as Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xinmai.collector import fleet
from xinmai.collector.core import Core

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS: Final = {
    "batches": "batches made durable",
    "bytes": "payload bytes made durable",
    "readings": "readings made durable",
    "duplicates": "batches that came again",
    "undecodable": "durable batches whose blocks do not hold what they say",
    "account_mismatch": "batches whose blocks and account differ",
    "unwritten": "accepted batches that could not be written",
    "internal_errors": "messages that a fault of the collector kept from being booked",
    "late_wills": "offline messages of a session that is not the newest",
    "merges": "merges of sealed sets",
    "merge_errors": "merges that failed",
    "sets_dropped": "sealed sets removed by age or size",
}
_NODE_GAUGES: Final = {
    "taken": "readings taken in the last hour",
    "stored": "readings stored in the last hour",
    "lost": "readings lost in the last hour",
    "missed": "readings missed in the last hour",
    "gaps": "batches that are neither here nor declared lost",
    "rate_hz": "readings a second that become durable",
    "expected_hz": "readings a second that the node's lanes promise",
    "spool_bytes": "spool of the node on disk",
}

Sample = tuple[dict[str, str], float]


def text(core: Core, broker_dropped: int, log_bytes: int) -> str:
    """All families."""
    lines: list[str] = []
    for name, words in _COUNTERS.items():
        total = core.counters.totals[name]
        lines += family(f"xinmai_collector_{name}_total", words, "counter", [({}, total)])
    lines += family(
        "xinmai_collector_refused_total",
        "messages refused",
        "counter",
        [
            ({"edge": edge, "node": node, "reason": reason}, n)
            for (edge, node, reason), n in sorted(core.counters.refused.items())
        ],
    )
    lines += family(
        "xinmai_collector_broker_dropped_total",
        "messages that did not fit the queue behind the broker",
        "counter",
        [({}, broker_dropped)],
    )
    now: dict[str, tuple[str, float]] = {
        "ok": ("log and seals can be written", not core.trouble()),
        "log_bytes": ("open log segment", log_bytes),
        "parked": ("batches waiting for an inventory", len(core.parking)),
        "parked_dropped": ("batches there was no room to park", core.parking.dropped),
        "sealed_sets": ("sealed sets", len(core.store.sets)),
        "unsealed_segments": ("closed log segments not in Parquet yet", len(core.state.closed)),
        "series": ("series known", len(core.state.series)),
        "live_streams": ("listeners of /api/live", core.state.live.watchers()),
    }
    for name, (words, value) in now.items():
        lines += family(f"xinmai_collector_{name}", words, "gauge", [({}, value)])
    return "\n".join(lines + _nodes(core)) + "\n"


def _nodes(core: Core) -> list[str]:
    lines: list[str] = []
    qualities = [
        ({"edge": node.edge, "node": node.node}, node, fleet.quality(core, node))
        for node in core.state.ledger
    ]
    for name, words in _NODE_GAUGES.items():
        samples = [(labels, found[name]) for labels, _, found in qualities]
        held = [(labels, value) for labels, value in samples if value is not None]
        lines += family(f"xinmai_node_{name}", words, "gauge", held)
    lines += family(
        "xinmai_node_lost_by_reason",
        "readings lost in the last hour",
        "gauge",
        [
            ({**labels, "reason": reason}, n)
            for labels, _, found in qualities
            for reason, n in found["lost_by_reason"].items()
        ],
    )
    online = [
        (labels, float(bool(node.status and node.status.online))) for labels, node, _ in qualities
    ]
    lines += family("xinmai_node_online", "the node's session is up", "gauge", online)
    ages = [
        (labels, age)
        for labels, node, _ in qualities
        if (age := core.age_s(fleet.seen_ns(core, node))) is not None
    ]
    return lines + family("xinmai_node_newest_age_seconds", "age of the newest row", "gauge", ages)


def family(name: str, words: str, kind: str, samples: Iterable[Sample]) -> list[str]:
    """One metric family in the text format."""
    lines = [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value:.17g}" if inner else f"{name} {value:.17g}")
    return lines


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
