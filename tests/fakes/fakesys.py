"""A machine's /proc and /sys as one text, a plugin on top of it, and one real row of readings.

The text has one entry a line; `#` begins a comment:

    /sys/block/vda/size: 528531456
    /sys/class/net/eth0/device -> ../../../devices/virtio2
    /data/
    /proc/loadavg:
        0.02 0.02 0.02 1/86 5385
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xinmai.api import Context, Device, Missing, Plugin, Poll, Probe, Reading, Reason, Series
from xinmai.manifest import check_config, find_plugins
from xinmai.sampler.plan import ProbeLane
from xinmai.sampler.pollers import missing_by_errno
from xinmai.values import native_number
from xinmai_native import LANE_COLUMNS, Lane, Ring, RingReader

RECORDED = Path(__file__).parent.parent / "plugins" / "recorded"

_LINK = re.compile(r"(?P<path>/\S+) -> (?P<target>\S+)")
_INDENT = "    "
_PERIOD_NS = 10_000_000
_PATIENCE_S = 10.0


@dataclass
class Machine:
    """A recorded machine under a directory of its own."""

    root: Path

    def write(self, path: str, text: str) -> None:
        """Make or change a file."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if text.endswith("\n") else f"{text}\n", "utf-8")

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link; the directory that it names is made too."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)
        (file.parent / target).resolve().mkdir(parents=True, exist_ok=True)

    def path(self, path: str) -> Path:
        """Where a file of the machine is."""
        return self.root / path.lstrip("/")

    def plugin(self, name: str, **config: Any) -> Plugin:
        """A plugin on this machine, opened."""
        plugin = self.closed_plugin(name, **config)
        plugin.open()
        return plugin

    def closed_plugin(self, name: str, **config: Any) -> Plugin:
        """A plugin on this machine, `open` not called."""
        source = find_plugins()[name]
        context = Context(
            name=name,
            root=self.root,
            config=check_config(source.manifest, config),
            metrics=source.manifest.metrics,
            log=logging.getLogger(f"xinmai.plugin.{name}"),
        )
        return source.load()(context)


def build(root: Path, text: str) -> Machine:
    """Lay a recording out under a directory."""
    machine = Machine(root)
    links: list[tuple[str, str]] = []
    for path, content in _entries(text):
        if content.startswith("-> "):
            links.append((path, content.removeprefix("-> ")))
        elif path.endswith("/"):
            machine.path(path).mkdir(parents=True, exist_ok=True)
        else:
            machine.write(path, content)
    for path, target in links:
        machine.link(path, target)
    return machine


def recorded(root: Path, name: str) -> Machine:
    """Lay out a recording of `tests/plugins/recorded`."""
    return build(root, (RECORDED / f"{name}.txt").read_text("utf-8"))


def _entries(text: str) -> Iterable[tuple[str, str]]:
    path, lines = "", list[str]()
    for line in text.splitlines():
        if line.startswith(_INDENT):
            lines.append(line.removeprefix(_INDENT))
            continue
        if path:
            yield path, "\n".join(lines)
        path, lines = "", []
        if not line.strip() or line.startswith("#"):
            continue
        path, content = _split(line)
        lines = [content] if content else []
    if path:
        yield path, "\n".join(lines)


def _split(line: str) -> tuple[str, str]:
    link = _LINK.fullmatch(line)
    if link:
        return link["path"], f"-> {link['target']}"
    path, colon, content = line.partition(": ")
    if not colon:
        path, content = line.removesuffix(":"), ""
    if not path.startswith("/"):
        raise ValueError(f"not an entry: {line!r}")
    return path, content


@dataclass(frozen=True)
class Snapshot:
    """One row of everything a plugin reads."""

    devices: Sequence[Device]
    readings: Sequence[Probe | Poll]
    values: Sequence[tuple[Series, Reading]] = field(default=())

    @property
    def series(self) -> list[Series]:
        """In the order of the values."""
        return [series for series, _ in self.values]

    def of(
        self, metric: str, hw_id: str | None = None, /, **attributes: str
    ) -> list[tuple[Series, Reading]]:
        """Values of a metric; attributes by the last part of their name, `_` for `.`."""
        return [
            (series, value)
            for series, value in self.values
            if series.metric == metric
            and (hw_id is None or series.hw_id == hw_id)
            and all(_has(series.attributes, name, want) for name, want in attributes.items())
        ]

    def one(self, metric: str, hw_id: str | None = None, /, **attributes: str) -> Reading:
        """The only value, in the base unit."""
        found = self.of(metric, hw_id, **attributes)
        assert len(found) == 1, [(series.hw_id, series.attributes) for series, _ in found]
        series, value = found[0]
        if isinstance(value, Missing):
            return value
        numerator, denominator = series.scale
        return value * numerator if denominator == 1 else value * numerator / denominator


def _has(attributes: Mapping[str, str], name: str, want: str) -> bool:
    ending = name.replace("_", ".")
    return any(
        value == want
        for key, value in attributes.items()
        if key == ending or key.endswith(f".{ending}") or key.replace(".", "_").endswith(name)
    )


def snapshot(plugin: Plugin) -> Snapshot:
    """Discover, declare, and take one row: probes by the C lane, polls as a host takes them."""
    devices = list(plugin.discover())
    readings = [reading for device in devices for reading in plugin.readings(device)]
    probes = [reading for reading in readings if isinstance(reading, Probe)]
    polls = [reading for reading in readings if isinstance(reading, Poll)]
    values = [*read_probes(probes)]
    for poll in polls:
        values += zip(poll.series, read_poll(poll), strict=True)
    return Snapshot(devices, readings, values)


def read_poll(poll: Poll) -> Sequence[Reading]:
    """One row of a poll, errors turned into reasons."""
    try:
        return poll.read()
    except OSError as error:
        return [missing_by_errno(error.errno)] * len(poll.series)


def read_probes(probes: Sequence[Probe]) -> list[tuple[Series, Reading]]:
    """One row of probes, by a real lane."""
    planned = ProbeLane("all", "fast", _PERIOD_NS, list(probes))
    series = planned.series
    if not series:
        return []
    ring = Ring([(LANE_COLUMNS, len(series), 0, 16, _PERIOD_NS)])
    reader = RingReader(ring.fd)
    lane = Lane(ring, 0, _PERIOD_NS, planned.native())
    lane.start(time.monotonic_ns())
    deadline_s = time.monotonic() + _PATIENCE_S
    while reader.state(0).committed == 0:
        assert time.monotonic() < deadline_s, "the lane committed no row"
        os.sched_yield()
    assert lane.stop(int(_PATIENCE_S * 1e9))
    rows = reader.rows(0, 0, 1)
    cells = memoryview(rows.values).cast("q")
    missing = {column: Missing(Reason(reason), code) for column, _, reason, code in rows.reasons}
    reader.close()
    ring.close()
    return [
        (one, missing.get(column, native_number(cells[column * rows.n], one.type)))
        for column, one in enumerate(series)
    ]
