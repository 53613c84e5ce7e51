"""The neutral SDK's devices: the model for the plugins of vendors' libraries.

Every reading is a call probe: a C lane calls the vendor's function, and no Python runs per
reading. Python discovers, declares, and hands events on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xinmai.api import (
    NO_STATUS,
    RETURN,
    CallProbe,
    Device,
    Event,
    Out,
    Plugin,
    Result,
    Returns,
    Series,
)
from xinmai_plugins.neutral import tables
from xinmai_plugins.neutral.binding import (
    FIELD_PCIE_REPLAYS,
    FIELD_PCIE_RX_BYTES,
    FIELD_PCIE_TX_BYTES,
    FIELD_TEMP_HOTSPOT_C,
    UTILIZATION_V2,
    Nsdk,
    NsdkError,
)
from xinmai_plugins.neutral.tables import NOTHING


class Neutral(Plugin):
    """One device per accelerator, known by its UUID."""

    def open(self) -> None:
        """Load and initialise the library."""
        self._sdk = Nsdk(self.context.config["library"])
        self._is_open = True
        self._handles: dict[str, Any] = {}
        self._by_index: dict[int, Device] = {}
        self._count = 0

    @property
    def stand_in(self) -> bool:
        """Whether the library simulates its devices."""
        return self._sdk.is_stand_in

    def discover(self) -> Iterable[Device]:
        """By index. A lost device keeps its handle, whose readings say that it is lost."""
        self._count = self._sdk.device_count()
        known, self._by_index = self._by_index, {}
        for index in range(self._count):
            try:
                handle = self._sdk.handle(index)
                device = known.get(index) if handle is None else self._device(index, handle)
            except NsdkError as error:
                self.context.log.warning("device=%d left out: %s", index, error)
                continue
            if device is not None:
                self._by_index[index] = device
        return tuple(self._by_index.values())

    def _device(self, index: int, handle: Any) -> Device:
        who = self._sdk.identity(handle)
        self._handles[who.uuid] = handle
        facts = {
            "hw.firmware_version": who.firmware,
            "hw.driver_version": self._sdk.driver_version(),
        }
        return Device(
            who.uuid, "Neutral", who.name, who.serial, "", who.pci, index, attributes=facts
        )

    def changed(self) -> bool:
        """Whether a device came, went, or has come back under a new handle."""
        if self._sdk.device_count() != self._count:
            return True
        return any(self._is_back(index) for index in self._by_index)

    def _is_back(self, index: int) -> bool:
        old = self._handles[self._by_index[index].hw_id]
        return not self._sdk.is_alive(old) and self._sdk.handle(index) is not None

    def events(self) -> Iterator[Event]:
        """Everything since the last call."""
        while (event := self._sdk.next_event()) is not None:
            index, code, time_ns, message = event
            device = self._by_index.get(index)
            hw_id = device.hw_id if device else ""
            yield Event(str(code), message, "error", hw_id=hw_id, time_ns=time_ns)

    def close(self) -> None:
        """Shut the library down; asked only after every probe has stopped."""
        if getattr(self, "_is_open", False):
            self._is_open = False
            self._sdk.close()

    def readings(self, device: Device) -> Iterator[CallProbe]:
        """Declared call by call; a function that fails costs its own series only."""
        yield from self._power(device)
        yield from self._temperatures(device)
        yield from self._work(device)
        yield from self._memory(device)
        yield self._host_link(device)
        yield from self._links(device)

    def _power(self, device: Device) -> Iterator[CallProbe]:
        yield self._number("power", "nsdkDeviceGetPower", device)
        yield self._number("power_limit", "nsdkDeviceGetPowerLimit", device)
        count, ways = Out(prime=tables.MAX_WAYS), Out(count=tables.MAX_WAYS)
        # The buffer is zero before each call: a way that the board does not have adds nothing.
        board = Result(self._of("power_ways", device), ways["[*].power_mw"], written=count)
        yield self._probe("power_ways", "nsdkDeviceGetSupplyWays", device, [count, ways], [board])
        energy = Result(self._of("energy", device), "counter", factor="resolution_uj")
        yield self._probe("energy", "nsdkDeviceGetEnergy", device, [Out()], [energy])
        for clock, number in tables.CLOCKS.items():
            attributes = {"accel.clock": clock}
            yield self._number("clock", "nsdkDeviceGetClock", device, number, attributes=attributes)
        fan = Result(self._of("fan", device), RETURN)
        yield self._probe("fan", "nsdkDeviceFanRpm", device, [0], [fan], NO_STATUS)

    def _temperatures(self, device: Device) -> Iterator[CallProbe]:
        function = "nsdkDeviceGetTemperature"
        for place, number in tables.SENSORS.items():
            attributes = {"hw.sensor_location": place}
            yield self._number("temperature", function, device, number, attributes=attributes)
        hbm = Result(self._of("temperature_hbm", device), "memory", decimals=3)
        yield self._probe("temperature_hbm", "nsdkDeviceGetTemperatures", device, [Out()], [hbm])

    def _work(self, device: Device) -> Iterator[CallProbe]:
        shares = Out(prime={"version": UTILIZATION_V2})
        busy = [
            Result(self._of("utilization", device, {"hw.gpu.task": task}), field)
            for field, task in tables.TASKS.items()
        ]
        busy.append(Result(self._of("memory_bandwidth", device), "memory"))
        yield self._probe("utilization", "nsdkDeviceGetUtilization", device, [shares], busy)
        held_back = [
            Result(self._of("throttle", device, {"accel.throttle.reason": reason}), field)
            for field, reason in tables.THROTTLE.items()
        ]
        yield self._probe("throttle", "nsdkDeviceGetThrottle", device, [Out()], held_back)
        count = Out(prime=tables.MAX_PROCESSES)
        processes = [Result(self._of("processes", device), count)]
        room = [count, Out(count=tables.MAX_PROCESSES)]
        yield self._probe("processes", "nsdkDeviceGetProcesses", device, room, processes)
        present = Result(self._of("present", device), RETURN)
        yield self._probe("present", "nsdkDeviceIsAlive", device, [], [present], NO_STATUS)

    def _memory(self, device: Device) -> Iterator[CallProbe]:
        space = [
            Result(self._of("memory_limit", device), "total"),
            Result(self._of("memory_usage", device), "used"),
        ]
        yield self._probe("memory_usage", "nsdkDeviceGetMemory", device, [Out()], space)
        errors = [
            Result(self._of("ecc", device, {"error.type": kind}), kind)
            for kind in ("corrected", "uncorrected")
        ]
        errors.append(Result(self._of("retired", device), "retired_pages"))
        yield self._probe("ecc", "nsdkDeviceGetEcc", device, [Out()], errors)

    def _host_link(self, device: Device) -> CallProbe:
        """One call for several fields, each with a status and a type of its own."""
        rates = ((FIELD_PCIE_RX_BYTES, "receive"), (FIELD_PCIE_TX_BYTES, "transmit"))
        wanted = {
            field: self._of("pcie_io", device, {"network.io.direction": direction})
            for field, direction in rates
        }
        wanted[FIELD_PCIE_REPLAYS] = self._of("pcie_replays", device)
        wanted[FIELD_TEMP_HOTSPOT_C] = self._of("temperature_hotspot", device)
        values = Out(prime=[{"field_id": field} for field in wanted])
        results = [
            Result(
                series,
                values[at]["value"],
                decimals=3 if field == FIELD_TEMP_HOTSPOT_C else None,
                status=values[at]["status"],
                tag=values[at]["value_type"],
                by_tag=tables.VALUE_DOUBLE
                if field == FIELD_TEMP_HOTSPOT_C
                else tables.VALUE_UNSIGNED,
            )
            for at, (field, series) in enumerate(wanted.items())
        ]
        arguments = [len(wanted), values]
        return self._probe("pcie_io", "nsdkDeviceGetFieldValues", device, arguments, results)

    def _links(self, device: Device) -> Iterator[CallProbe]:
        """The same call twice: volume and errors often, state and speed rarely."""
        n = self._sdk.link_count(self._handles[device.hw_id], tables.MAX_LINKS)
        for fields in (tables.LINK_TRAFFIC, tables.LINK_STATE):
            count, links = Out(prime=tables.MAX_LINKS), Out(count=tables.MAX_LINKS)
            results = [
                Result(
                    self._of(key, device, {"accel.link.index": str(index), **attributes}),
                    links[index][field],
                    written=count,
                )
                for index in range(n)
                for field, key, attributes in fields
            ]
            if results:
                key = fields[0][1]
                yield self._probe(key, "nsdkDeviceGetLinks", device, [count, links], results)

    def _number(
        self,
        key: str,
        function: str,
        device: Device,
        *before: int,
        attributes: Mapping[str, str] = NOTHING,
    ) -> CallProbe:
        """A function that fills one number, its last argument."""
        result = Result(self._of(key, device, attributes))
        return self._probe(key, function, device, [*before, Out()], [result])

    def _probe(
        self,
        key: str,
        function: str,
        device: Device,
        arguments: Sequence[object],
        results: Sequence[Result],
        returns: Returns | None = None,
    ) -> CallProbe:
        """A call on the device's handle, as often as the metric's cost says."""
        return CallProbe(
            self._sdk.function(function),
            [self._handles[device.hw_id], *arguments],
            results,
            returns,
            self.context.metrics[key].cost,
        )

    def _of(self, key: str, device: Device, attributes: Mapping[str, str] = NOTHING) -> Series:
        return self.context.metrics[key].of(device, attributes)
