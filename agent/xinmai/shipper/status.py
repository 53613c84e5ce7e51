"""What `xinmai status` asks: one JSON object per connection on a Unix socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai.shipper.rings import Ring
from xinmai.shipper.selfring import PLUGIN
from xinmai.wire.messages import STREAMS

if TYPE_CHECKING:
    from xinmai.shipper.daemon import Shipper

SOCKET_NAME = "status.sock"
STALE_PERIODS = 2
_GRACE_NS = SECOND_NS


class StatusServer:
    """Answers and closes; a client that does not read costs nothing but its socket."""

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen in the run directory, replacing a dead predecessor's socket."""
        path = self._shipper.config.node.run_dir / SOCKET_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, path)
        path.chmod(0o660)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(json.dumps(snapshot(self._shipper)).encode())
            async with asyncio.timeout(2.0):
                await writer.drain()
        except (ConnectionError, TimeoutError):
            pass
        finally:
            writer.close()


def snapshot(shipper: Shipper) -> dict[str, Any]:
    """The answer of `status --json`; keys are frozen by a test."""
    now_ns = clock.mono_ns()
    rings = {ring.layout.plugin: ring for ring in shipper.rings.all()}
    plugins = [_plugin(told, rings, now_ns) for told in shipper.plugins]
    healthy = shipper.sampler is not None and all(
        not plugin["stuck"] and plugin["state"] in ("running", "unavailable", "disabled")
        for plugin in plugins
    )
    return {
        "healthy": healthy,
        "node": shipper.identity.node,
        "edge": shipper.identity.edge,
        "agent": shipper.identity.agent,
        "sampler": "connected" if shipper.sampler else "away",
        "plugins": plugins,
        "lanes": [lane for ring in rings.values() for lane in _lanes(ring, now_ns)],
        "spool": [asdict(shipper.spools[stream].state()) for stream in STREAMS],
        "transport": asdict(shipper.sender.state),
        "totals": asdict(shipper.drain.totals),
    }


def _plugin(told: Mapping[str, Any], rings: Mapping[str, Ring], now_ns: int) -> dict[str, Any]:
    """Health is the age of the newest row, never that a process lives (A2)."""
    ring = rings.get(str(told["name"]))
    age_s, stale = None, ""
    if ring is not None and ring.layout.plugin != PLUGIN:
        age_s, stale = _freshness(ring, now_ns)
    state = str(told["state"])
    stuck = state == "stuck" or (state == "running" and bool(stale))
    return {
        "name": told["name"],
        "state": "stuck" if stuck else state,
        "newest_age_s": age_s,
        "stuck": stuck,
        "reason": told["reason"] or stale,
    }


def _freshness(ring: Ring, now_ns: int) -> tuple[float | None, str]:
    """Age of the plugin's newest row, and which lane is over two of its periods old."""
    newest_ns, stale = 0, ""
    for index, lane in enumerate(ring.layout.lanes):
        if not lane.count:
            continue
        state = ring.reader.state(index)
        newest_ns = max(newest_ns, state.begin_ns)
        age_ns = now_ns - state.begin_ns
        period_ns = state.period_ns or lane.period_ns
        if state.begin_ns and age_ns > STALE_PERIODS * period_ns + _GRACE_NS:
            stale = f"lane {lane.name}: no row for {age_ns / SECOND_NS:.1f} s"
    return ((now_ns - newest_ns) / SECOND_NS if newest_ns else None), stale


def _lanes(ring: Ring, now_ns: int) -> list[dict[str, Any]]:
    out = []
    for index, lane in enumerate(ring.layout.lanes):
        if not lane.count:
            continue
        state = ring.reader.state(index)
        slots = ring.reader.lanes[index][3]
        period_ns = state.period_ns or lane.period_ns
        out.append(
            {
                "plugin": ring.layout.plugin,
                "lane": lane.name,
                "period_ns": period_ns,
                "series": lane.count,
                "committed": state.committed,
                "missed": state.missed,
                "late_mean_ns": state.late_ns // state.committed if state.committed else None,
                "late_max_ns": state.late_max_ns,
                "age_s": (now_ns - state.begin_ns) / SECOND_NS if state.begin_ns else None,
                "span_s": slots * period_ns / SECOND_NS,
            }
        )
    return out
