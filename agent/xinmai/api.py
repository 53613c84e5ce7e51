"""Everything a plugin may import.

A plugin is a folder: `plugin.toml` (what it needs, its configuration), `metrics.toml` (what it
supplies), `sample.toml`, `plugin.py` (one class), optionally `binding.py` (the only place that
loads a vendor library), `README.md`, `quality.toml`. The class discovers devices and declares
readings; the framework owns time, threads, retries, units, encoding, the log of loss and return,
and the plugin's own self-metrics.
"""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Literal

from xinmai.calls.compile import compile_call
from xinmai.calls.function import NO_STATUS, Function, Returns
from xinmai.calls.memory import RETURN, At, Out
from xinmai.calls.results import Result
from xinmai.catalog import Kind
from xinmai.errors import PluginError, Unavailable
from xinmai_native.calls import Call

__all__ = [
    "NO_STATUS",
    "RETURN",
    "At",
    "CallProbe",
    "Context",
    "Cost",
    "Device",
    "Event",
    "Field",
    "FileProbe",
    "Function",
    "Kind",
    "Metric",
    "Missing",
    "Out",
    "Plugin",
    "PluginError",
    "Poll",
    "Probe",
    "Reading",
    "Reason",
    "Result",
    "Returns",
    "Series",
    "Unavailable",
]

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

NumberType = Literal["i64", "u64", "f64"]
Severity = Literal["info", "warning", "error", "critical"]


class Reason(IntEnum):
    """Why there is no value. The numbers are those of the ring and the wire."""

    UNSUPPORTED = 1
    NO_PERMISSION = 2
    NOT_YET = 3
    TIMEOUT = 4
    DEVICE_LOST = 5
    DRIVER_LOST = 6
    VENDOR_ERROR = 7
    IMPLAUSIBLE = 8
    ASLEEP = 9
    RELEASED = 10
    STALE = 11

    @property
    def text(self) -> str:
        """The name as people and programs see it, such as `no_permission`."""
        return self.name.lower()


class Cost(StrEnum):
    """How expensive a reading is, which decides its thread and its period."""

    FAST = "fast"
    """Microseconds: links, accelerator power and temperature; 10 Hz by default."""
    SLOW = "slow"
    """Up to milliseconds; once a second."""
    RARE = "rare"
    """Tens of milliseconds or rarely changing; once a minute."""


@dataclass(frozen=True, slots=True)
class Missing:
    """No value, and why. `code` is the vendor's own number where the reason is VENDOR_ERROR."""

    reason: Reason
    code: int = 0


Reading = int | float | Missing
"""One native value: an integer (float for a series of type f64), or why there is none."""


@dataclass(frozen=True, slots=True)
class Device:
    """A thing that is measured: a card, a port, a disk, the host itself.

    Args:
        hw_id: stable identity: UUID, serial or hardware address, never an index.
        model: as the vendor names it.
        parent: hw_id of the card that a die or partition belongs to, "" for none.
        pci_bdf: `dddd:bb:dd.f` in lower case, "" for none.
        index: the driver's index, None where there is none; never an identity.
        attributes: further facts by catalogue name, such as hw.firmware_version.
        lane: in a plugin with `threading = "free"`, devices of one name share their threads. "":
            threads of its own, so that a hang costs no other device anything.
    """

    hw_id: str
    vendor: str = ""
    model: str = ""
    serial_number: str = ""
    parent: str = ""
    pci_bdf: str = ""
    index: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One column of readings: a metric of a device under some attributes.

    Made by `Metric.of`, which fills in what `metrics.toml` says.

    Args:
        scale: (numerator, denominator): value in `unit` = native integer × numerator / denominator.
        native: the call or file this comes from.
        sentinels: native integers that mean "no value"; they read as unsupported.
        low, high: plausible range of the native integer; outside it reads as implausible.
        refresh_ns, window_ns: how often the sensor renews its reading and over what time it
            averages; None where nobody says.
        width_bits: after how many bits a counter begins at 0 again, 8 to 64; 64 where nobody says.
    """

    hw_id: str
    metric: str
    unit: str
    kind: Kind
    attributes: Mapping[str, str]
    scale: tuple[int, int] = (1, 1)
    type: NumberType = "i64"
    native: str = ""
    native_unit: str = ""
    sentinels: tuple[int, ...] = ()
    low: int = INT64_MIN
    high: int = INT64_MAX
    refresh_ns: int | None = None
    window_ns: int | None = None
    width_bits: int = 64


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of a plugin's `metrics.toml`, checked against the catalogue.

    Args:
        attributes: those that every series of the entry carries.
        varies: names of those that the plugin adds, such as a direction.
    """

    key: str
    metric: str
    unit: str
    kind: Kind
    attributes: Mapping[str, str]
    native: str
    native_unit: str
    scale: tuple[int, int]
    type: NumberType
    cost: Cost
    varies: tuple[str, ...] = ()
    sentinels: tuple[int, ...] = ()
    low: int = INT64_MIN
    high: int = INT64_MAX
    refresh_ns: int | None = None
    window_ns: int | None = None
    width_bits: int = 64

    def of(
        self,
        device: Device | None,
        attributes: Mapping[str, str] | None = None,
        *,
        native: str | None = None,
    ) -> Series:
        """The series of this metric on a device (None: the node itself).

        Args:
            device: whose reading it is.
            attributes: by catalogue name, such as {"network.io.direction": "receive"}; added to
                those of `metrics.toml`, which lists their names under `varies`.
            native: the exact call or file; the text of `metrics.toml` where None.
        """
        return Series(
            hw_id=device.hw_id if device else "",
            metric=self.metric,
            unit=self.unit,
            kind=self.kind,
            attributes={**self.attributes, **(attributes or {})},
            scale=self.scale,
            type=self.type,
            native=self.native if native is None else native,
            native_unit=self.native_unit,
            sentinels=self.sentinels,
            low=self.low,
            high=self.high,
            refresh_ns=self.refresh_ns,
            window_ns=self.window_ns,
            width_bits=self.width_bits,
        )


@dataclass(frozen=True, slots=True)
class Field:
    """Where in a file's text a series' integer stands.

    Args:
        key: first word of the line to read from; None counts from the start of the file.
        index: which number behind the key (or in the file), from 0.
        decimals: a decimal fraction becomes an integer by this many digits: 0.12 is 12 with 2.
    """

    series: Series
    key: str | None = None
    index: int = 0
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class FileProbe:
    """A file read by a C lane: kept open, `pread`, numbers picked out. No Python runs per reading.

    Args:
        path: absolute, already under the context's root.
    """

    path: Path
    fields: Sequence[Field]
    cost: Cost = Cost.FAST

    @property
    def series(self) -> Sequence[Series]:
        """In the order of the fields."""
        return [entry.series for entry in self.fields]

    @property
    def name(self) -> str:
        """The call as an operator should see it when it hangs."""
        return str(self.path)


@dataclass(frozen=True, slots=True)
class CallProbe:
    """A vendor's function called by a C lane. No Python runs per reading.

    Everything that can be checked is checked here, where it is declared.

    Args:
        arguments: one per parameter: an integer, a handle or pointer of cffi or ctypes, None for
            a null pointer, or an `Out` for the call to fill.
        results: what is taken out of the call; where it fails, each has the reason.
        returns: what the status means, None for what `function` says.
        name: the call as an operator should see it when it hangs; function and device where "".

    Raises:
        PluginError: an argument, a place or a type does not fit; the message says which and why.
    """

    function: Function
    arguments: Sequence[object]
    results: Sequence[Result]
    returns: Returns | None = None
    cost: Cost = Cost.FAST
    name: str = ""
    native: Call = field(init=False, repr=False)
    """As the extension takes it, columns counted from 0."""
    series: Sequence[Series] = field(init=False, repr=False)
    """In the order of the results; each names the function as its source."""

    def __post_init__(self) -> None:
        compiled = compile_call(self.function, self.arguments, self.results, self.returns)
        object.__setattr__(self, "native", compiled)
        object.__setattr__(self, "series", [self._sourced(one.series) for one in self.results])
        devices = {series.hw_id for series in self.series} - {""}
        of = f" of {devices.pop()}" if len(devices) == 1 else ""
        object.__setattr__(self, "name", self.name or f"{self.function.name}{of}")

    def _sourced(self, series: Series) -> Series:
        """A library may have another version of the function than `metrics.toml` says."""
        named = re.search(rf"\b{re.escape(self.function.name)}\b", series.native)
        return series if named else replace(series, native=self.function.name)


Probe = FileProbe | CallProbe
"""What a C lane executes."""


@dataclass(frozen=True, slots=True)
class Poll:
    """A reading that Python takes, in the host's own thread, one after another.

    Args:
        name: the call as an operator should see it when it hangs.
        read: returns one Reading per series, in order. Raising is allowed: OSError becomes a
            reason by its errno, anything else is logged once and reads as vendor_error.
        cost: SLOW or RARE.
    """

    name: str
    series: Sequence[Series]
    read: Callable[[], Sequence[Reading]]
    cost: Cost = Cost.SLOW


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, once. Time is added by the framework where the source has none."""

    code: str
    message: str
    severity: Severity = "info"
    event_class: str = ""
    action: str = ""
    hw_id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_ns: int = 0
    """Wall time by the source, 0 for now."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the framework hands a plugin.

    Args:
        root: prefix of every path the plugin reads, `/` on a real machine.
        config: the plugin's configuration keys, checked, defaults filled in.
        metrics: `metrics.toml` by key.
    """

    name: str
    root: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    log: logging.Logger

    def path(self, absolute: str) -> Path:
        """An absolute path of the machine, under the root prefix."""
        return self.root / absolute.lstrip("/")

    def text(self, absolute: str) -> str:
        """A small file's text without the space around it, "" where it cannot be read."""
        try:
            # A third of what a text file object costs: plugins ask for such files every second.
            with open(self._place(absolute), "rb", buffering=0) as file:  # noqa: PTH123
                return file.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def names(self, absolute: str) -> list[str]:
        """What a directory holds, sorted; empty where it cannot be read."""
        try:
            return sorted(os.listdir(self._place(absolute)))  # noqa: PTH208 - names, no paths
        except OSError:
            return []

    def _place(self, absolute: str) -> str:
        # Path interns each part, and the interpreter's table of such strings grows with those that
        # came and went: most of a mebibyte in a day of asking each second.
        return os.path.join(self.root, absolute.lstrip("/"))  # noqa: PTH118


class Plugin(ABC):
    """One per plugin folder. Runs in its own process; may block, may crash, cannot hurt others.

    Life: `open`, then `discover` and `readings` for each device, then the framework reads until
    `close`. When `changed` says so, `discover` and `readings` run again.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def open(self) -> None:  # noqa: B027 - most plugins have nothing to open
        """Load the library, check the files.

        Raises:
            Unavailable: what is missing, on what, and the fix; said once, not an error.
        """

    @abstractmethod
    def discover(self) -> Iterable[Device]:
        """Every device that is here now, parents before children."""

    @abstractmethod
    def readings(self, device: Device) -> Iterable[Probe | Poll]:
        """What to read of a device; asked once per discovery."""

    @property
    def stand_in(self) -> bool:
        """Whether what it reads is simulated at the vendor's ABI; asked after `open`."""
        return False

    def events(self) -> Iterable[Event]:
        """What happened since the last call; asked once a second."""
        return ()

    def changed(self) -> bool:
        """Whether the devices differ from the last discovery; cheap, asked once a second."""
        return False

    def close(self) -> None:  # noqa: B027 - most plugins hold nothing
        """Give everything back: descriptors, handles, the library."""
