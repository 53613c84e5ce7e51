"""On which machine the contract runs each plugin: every plugin has an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fakes.fakesys import Machine, build, recorded
from fakes.standins import library
from xinmai.api import Plugin

EXAMPLE = """
/proc/uptime: 10.00 20.00
/opt/example/one/serial: 1
/opt/example/one/power_mw: 65250
/opt/example/one/temperature_mc: 41500
/opt/example/one/health: ok
/opt/example/one/jobs: 12
"""


def _stood_in(name: str, stand_in: str) -> Callable[[Path], Plugin]:
    return lambda root: Machine(root).closed_plugin(name, library=str(library(stand_in)))


def _recorded(name: str, recording: str, **config: Any) -> Callable[[Path], Plugin]:
    return lambda root: recorded(root, recording).closed_plugin(name, **config)


def _example(root: Path) -> Plugin:
    return build(root, EXAMPLE).closed_plugin("example", directory="/opt/example")


def _here(name: str) -> Callable[[Path], Plugin]:
    return lambda _: Machine(Path("/")).closed_plugin(name)


MACHINES: Final[Mapping[str, Callable[[Path], Plugin]]] = {
    "example": _example,
    "host": _recorded("host", "epyc_ib", per_cpu=True),
    "hwmon": _recorded("hwmon", "epyc_ib"),
    "link": _recorded("link", "epyc_ib"),
    "neutral": _stood_in("neutral", "neutral"),
    "rapl": _recorded("rapl", "xeon_rapl"),
    "self": _here("self"),
}
