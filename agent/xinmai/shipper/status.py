"""What `xinmai status` asks: one JSON object per connection on a Unix socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai.shipper.rings import Ring

if TYPE_CHECKING:
    from xinmai.shipper.daemon import Shipper

SOCKET_NAME = "status.sock"
PATIENCE_S = 2.0
STALE_PERIODS = 2
GRACE_NS = SECOND_NS


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
        _plugin(told, rings, shipper.rings.damaged, now_ns) for told in shipper.sampler.plugins
    ]
    healthy = shipper.sampler.connected and bool(plugins) and all(map(_is_well, plugins))
    return {
        "healthy": healthy,
        "node": shipper.identity.node,
        "edge": shipper.identity.edge,
        "agent": shipper.identity.agent,
        "sampler": "connected" if shipper.sampler.connected else "away",
        "plugins": plugins,
        "lanes": [lane for ring in rings.values() for lane in _lanes(ring, now_ns)],
        "spool": [asdict(spool.state()) for spool in shipper.spools],
        "transport": asdict(shipper.sender.state),
        "totals": asdict(shipper.drain.totals),
        "captures": asdict(shipper.drain.recorder.state),
    }


def _is_well(plugin: Mapping[str, Any]) -> bool:
    return not plugin["stuck"] and plugin["state"] in ("running", "unavailable", "disabled")


def _plugin(
    told: Mapping[str, Any], rings: Mapping[str, Ring], damaged: Mapping[str, str], now_ns: int
) -> dict[str, Any]:
    """Health is the age of the newest row, never that a process lives (A2)."""
    name, state, reason = (str(told.get(key, "")) for key in ("name", "state", "reason"))
    age_s, stale = None, ""
    if name in rings:
        age_s, stale = _freshness(rings[name], now_ns)
    elif state == "running":
        stale = "no ring of it is here"
    stale = damaged.get(name, stale)
    stuck = state == "stuck" or (state == "running" and bool(stale))
    return {
        "name": name,
        "state": "stuck" if stuck else state,
        "newest_age_s": age_s,
        "stuck": stuck,
        "reason": reason or (stale if stuck else ""),
    }


def _freshness(ring: Ring, now_ns: int) -> tuple[float | None, str]:
    """Age of the plugin's newest row, and which lane is over two of its periods old."""
    newest_ns, stale = 0, ""
    for index, lane in enumerate(ring.layout.lanes):
        if not lane.count:
            continue
        state = ring.reader.state(index)
        newest_ns = max(newest_ns, state.begin_ns)
        # A lane that never had a row is as old as its ring.
        age_ns = now_ns - (state.begin_ns or ring.added_ns)
        period_ns = state.period_ns if state.period_ns > 0 else lane.period_ns
        if age_ns > STALE_PERIODS * period_ns + GRACE_NS:
            stale = f"lane {lane.name}: no row for {age_ns / SECOND_NS:.1f} s"
        elif age_ns < -GRACE_NS:
            stale = f"lane {lane.name}: its newest row is {-age_ns / SECOND_NS:.1f} s ahead"
    return ((now_ns - newest_ns) / SECOND_NS if newest_ns else None), stale


def _lanes(ring: Ring, now_ns: int) -> Iterator[dict[str, Any]]:
    for index, (lane, (_, _, _, slots)) in enumerate(
        zip(ring.layout.lanes, ring.reader.lanes, strict=True)
    ):
        if not lane.count:
            continue
        state = ring.reader.state(index)
        period_ns = state.period_ns if state.period_ns > 0 else lane.period_ns
        yield {
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
