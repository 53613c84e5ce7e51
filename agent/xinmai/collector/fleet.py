"""Answers about nodes, devices and their quality, out of the collector's memory."""

from __future__ import annotations

from typing import Any

from xinmai.clock import MINUTE_NS
from xinmai.collector.account import Tally
from xinmai.collector.core import QUALITY_MINUTES, Core
from xinmai.collector.ledger import NodeLedger
from xinmai.collector.live import Rate, series_per_device, values_of
from xinmai.collector.plain import exact
from xinmai.collector.registry import DeviceRow, SeriesMeta, readings_hz


def fleet(core: Core) -> dict[str, Any]:
    """`/api/fleet`."""
    nodes = sorted(core.state.ledger, key=lambda node: (node.edge, node.node))
    return {"now_ms": core.wall_ns() // 10**6, "nodes": [_node(core, node) for node in nodes]}


def _node(core: Core, node: NodeLedger) -> dict[str, Any]:
    state, key = core.state, (node.edge, node.node)
    inventory = current_inventory(core, node)
    status = node.status
    heard_ns = core.heard_ns.get(key, status.time_ns if status else None)
    counts = series_per_device(state.series.of_node(*key))
    return {
        "edge": node.edge,
        "node": node.node,
        "online": bool(status and status.online),
        "agent": status.agent if status else inventory.agent if inventory else "",
        "boot": status.boot if status else inventory.boot if inventory else "",
        "stand_in": bool((status and status.stand_in) or (inventory and inventory.stand_in)),
        "last_seen_ms": heard_ns // 10**6 if heard_ns is not None else None,
        "newest_age_s": core.age_s(seen_ns(core, node)),
        "devices": [
            _device(core, row, counts[row.entry.hw_id]) for row in state.devices.of_node(*key)
        ],
        "quality": quality(core, node),
    }


def seen_ns(core: Core, node: NodeLedger) -> int | None:
    """Wall time of a node's newest row; before the first of this run that of its devices."""
    key = (node.edge, node.node)
    devices = (row.last_seen_ns for row in core.state.devices.of_node(*key))
    return core.state.live.node_seen_ns(*key) or max(devices, default=None)


def current_inventory(core: Core, node: NodeLedger) -> Any:
    """The inventory that a node's newest data names, None before the first."""
    schema = core.state.devices.schema_of(node.edge, node.node)
    known = core.state.inventories.find((node.edge, node.node, schema)) if schema else None
    return known.inventory if known else None


def _device(core: Core, row: DeviceRow, series: int) -> dict[str, Any]:
    entry = row.entry
    live_ns = core.state.live.device_seen_ns(row.edge, row.node, entry.hw_id)
    return {
        "hw_id": entry.hw_id,
        "vendor": entry.vendor,
        "model": entry.model,
        "parent": entry.parent,
        "index": entry.index,
        "plugin": entry.plugin,
        "stand_in": entry.stand_in,
        "present": row.present,
        "newest_age_s": core.age_s(live_ns or row.last_seen_ns),
        "series": series,
    }


def tally(core: Core, node: NodeLedger) -> Tally:
    """A node's account of the last QUALITY_MINUTES."""
    first = core.wall_ns() // MINUTE_NS - QUALITY_MINUTES
    return core.state.recent.since(node.edge, node.node, first)


def quality(core: Core, node: NodeLedger) -> dict[str, Any]:
    """Counts of the last hour, and how the node does now."""
    key = (node.edge, node.node)
    total = tally(core, node)
    metas = list(core.state.series.of_node(*key))
    spools = list(values_of(core.state.live, metas, "xinmai.spool.bytes"))
    means = [meta for meta in metas if dict(meta.attributes).get("xinmai.statistic") == "mean"]
    late = list(values_of(core.state.live, means, "xinmai.lane.late"))
    inventory = current_inventory(core, node)
    return {
        "taken": total.taken,
        "stored": total.stored,
        "lost": total.lost.total(),
        "missed": total.missed,
        "lost_by_reason": dict(total.lost),
        "gaps": node.gaps(),
        "rate_hz": core.state.rates.get(key, Rate()).hz(core.mono_s()),
        "expected_hz": readings_hz(inventory.lanes) if inventory else 0.0,
        "spool_bytes": int(sum(spools)) if spools else None,
        "late_ms": max(late) * 1000 if late else None,
    }


def series_list(core: Core, edge: str, node: str, hw_id: str | None) -> dict[str, Any]:
    """`/api/series`."""
    metas = core.state.series.of_node(edge, node)
    chosen = [meta for meta in metas if hw_id is None or meta.hw_id == hw_id]
    chosen.sort(key=lambda meta: (meta.hw_id, meta.metric, meta.attributes))
    return {"series": [_series(core, meta) for meta in chosen]}


def _series(core: Core, meta: SeriesMeta) -> dict[str, Any]:
    newest = core.state.live.newest(meta.series_id)
    return {
        "id": str(meta.series_id),
        "hw_id": meta.hw_id,
        "metric": meta.metric,
        "attributes": dict(meta.attributes),
        "unit": meta.unit,
        "kind": meta.kind,
        "plugin": meta.plugin,
        "native": meta.native,
        "refresh_ns": exact(meta.refresh_ns),
        "window_ns": exact(meta.window_ns),
        "period_ns": exact(meta.period_ns),
        "newest": {
            "time_ms": newest.time_ns / 1e6,
            "value": newest.value,
            "reason": newest.reason,
        }
        if newest
        else None,
    }
