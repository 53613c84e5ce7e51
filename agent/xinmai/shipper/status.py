"""What `xinmai status` asks: one JSON object per connection on a Unix socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai.shipper.health import plugin_health
from xinmai.shipper.rings import Ring
from xinmai.shipper.timing import LaneTiming, lane_timings

if TYPE_CHECKING:
    from xinmai.shipper.daemon import Shipper

SOCKET_NAME = "status.sock"
PATIENCE_S = 2.0


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
            async with asyncio.timeout(PATIENCE_S):
                await writer.drain()
        except (ConnectionError, TimeoutError):
            # Closing alone would wait for the client to read.
            writer.transport.abort()
        finally:
            writer.close()


def snapshot(shipper: Shipper) -> dict[str, Any]:
    """The answer of `status --json`; keys are frozen by a test."""
    now_ns = clock.mono_ns()
    rings = shipper.rings.newest()
    plugins = [
        plugin_health(told, rings, shipper.rings.damaged, now_ns)
        for told in shipper.sampler.plugins
    ]
    healthy = shipper.sampler.connected and bool(plugins) and all(one.is_well for one in plugins)
    return {
        "healthy": healthy,
        "node": shipper.identity.node,
        "edge": shipper.identity.edge,
        "agent": shipper.identity.agent,
        "sampler": "connected" if shipper.sampler.connected else "away",
        "plugins": [
            {**asdict(health), **_troubles(told)}
            for health, told in zip(plugins, shipper.sampler.plugins, strict=True)
        ],
        "lanes": [lane for ring in rings.values() for lane in _lanes(ring, now_ns)],
        "spool": [asdict(spool.state()) for spool in shipper.spools],
        "transport": asdict(shipper.sender.state),
        "totals": asdict(shipper.drain.totals),
        "captures": asdict(shipper.drain.recorder.state),
    }


def _troubles(told: Mapping[str, Any]) -> dict[str, Any]:
    """None: its supervisor is of a version that does not tell."""
    return {key: told.get(key) for key in ("restarts", "stalls", "stalled")}


def _lanes(ring: Ring, now_ns: int) -> Iterator[dict[str, Any]]:
    timings = lane_timings(ring)
    for index, (lane, (_, _, _, slots)) in enumerate(
        zip(ring.layout.lanes, ring.reader.lanes, strict=True)
    ):
        if not lane.count:
            continue
        state, timing = ring.reader.state(index), timings.get(lane.name, LaneTiming())
        period_ns = state.period_ns if state.period_ns > 0 else lane.period_ns
        yield {
            "plugin": ring.layout.plugin,
            "lane": lane.name,
            "period_ns": period_ns,
            "series": lane.count,
            "rate_hz": timing.rate_hz,
            "committed": state.committed,
            "missed": state.missed,
            "late_mean_ns": state.late_ns // state.committed if state.committed else None,
            "late_p99_ns": timing.late_p99_ns,
            "late_max_ns": state.late_max_ns,
            "calls": timing.calls_list(),
            "age_s": (now_ns - state.begin_ns) / SECOND_NS if state.begin_ns else None,
            "span_s": slots * period_ns / SECOND_NS,
        }
