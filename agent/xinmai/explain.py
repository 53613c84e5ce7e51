"""What a series is: catalogue, the plugins that supply it, and the series that exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from xinmai.api import Metric
from xinmai.catalog import CATALOG
from xinmai.config import Config
from xinmai.errors import PluginError, Usage
from xinmai.manifest import PluginSource
from xinmai.manifest_metrics import read_texts

NEAR = 3


@dataclass(frozen=True, slots=True)
class Supply:
    """A plugin's way to a metric; `text` is what the plugin or the catalogue says it is."""

    plugin: str
    metric: Metric
    text: str


def split_name(series: str) -> tuple[str, str | None]:
    """`METRIC` or `METRIC@HW_ID`; None means every device."""
    metric, at, hw_id = series.partition("@")
    return metric, hw_id if at else None


def supplies(metric: str, sources: Iterable[PluginSource]) -> list[Supply]:
    """Every entry of this metric in the manifests; broken plugins are passed over."""
    return [supply for supply in _all_supplies(sources) if supply.metric.metric == metric]


def _all_supplies(sources: Iterable[PluginSource]) -> Iterator[Supply]:
    for source in sources:
        with suppress(PluginError):
            texts = read_texts(source.manifest.folder / "metrics.toml", source.name)
            for key, metric in source.manifest.metrics.items():
                yield Supply(source.name, metric, texts.get(key, ""))


def unknown(metric: str, sources: Iterable[PluginSource]) -> Usage:
    """The refusal of a name that nobody has, with the names that are close."""
    known = {*CATALOG, *(supply.metric.metric for supply in _all_supplies(sources))}
    near = get_close_matches(metric, sorted(known), NEAR)
    hint = f"; close to it: {', '.join(near)}" if near else ""
    return Usage(f"no plugin and no catalogue entry has a metric {metric!r}{hint}")


def stored_series(store: Path, metric: str) -> list[dict[str, Any]]:
    """Rows of the view `series`; empty where there is no store or nothing to read it with."""
    if not store.is_dir():
        return []
    try:
        from xinmai.collector.query import query
    except ModuleNotFoundError:
        return []
    quoted = metric.replace("'", "''")
    return query(store, f"SELECT * FROM series WHERE metric = '{quoted}'")


def read_series(
    config: Config, sources: Mapping[str, PluginSource], metric: str
) -> list[dict[str, Any]]:
    """The same rows from this machine, by opening the plugins once."""
    from xinmai.sampler.oneshot import look

    return [
        {
            "edge": config.node.edge,
            "node": config.node.name,
            "hw_id": series.hw_id,
            "metric": series.metric,
            "attributes": dict(series.attributes),
            "unit": series.unit,
            "kind": str(series.kind),
            "scale": series.scale[0] / series.scale[1],
            "native": series.native,
            "refresh_ns": series.refresh_ns,
            "window_ns": series.window_ns,
            "plugin": seen.plugin,
        }
        for seen in look(config, sources)
        if seen.layout
        for series in seen.layout.series
        if series.metric == metric
    ]
