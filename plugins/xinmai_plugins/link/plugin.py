"""Network interfaces and InfiniBand or RoCE ports, all from sysfs.

psutil opens sockets for interface data, which a sampler without network may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from xinmai.api import Device, Field, FileProbe, Missing, Plugin, Poll, Reading, Reason
from xinmai_plugins.link.identity import driver, interface_id, link_type, pci_bdf
from xinmai_plugins.link.tables import INTERFACE, PORT, PORT_HARDWARE, Row

NET, IB = "/sys/class/net", "/sys/class/infiniband"

NET_LANE = "net"
"""Interfaces share one lane: what can hang there hangs on the kernel's one lock for all of them."""
DOWN_STATES = ("down", "lowerlayerdown", "notpresent", "dormant", "testing")
ACTIVE = "4"


class Link(Plugin):
    """One device per interface and per port; an adapter is its ports' parent."""

    def discover(self) -> Iterable[Device]:
        """Interfaces by name, then adapters each before its ports."""
        self._found = self._here()
        yield from _unique(self._interface(name) for name in self._interfaces())
        for name in self._adapters():
            adapter = self._adapter(name)
            yield adapter
            for port in self.context.names(f"{IB}/{name}/ports"):
                yield self._port(adapter, name, port)

    def changed(self) -> bool:
        """Whether an interface or adapter came, went, or was made anew under its old name."""
        return self._here() != self._found

    def _here(self) -> tuple[object, ...]:
        return self._interfaces(), self._adapters()

    def _interfaces(self) -> dict[str, str]:
        """Numbers by name. What has no number is no interface: bonding_masters is a file."""
        names = self._kept(NET, "interfaces_exclude")
        numbers = {name: self.context.text(f"{NET}/{name}/ifindex") for name in names}
        return {name: number for name, number in numbers.items() if number}

    def _adapters(self) -> list[str]:
        return self._kept(IB, "ports_exclude")

    def _kept(self, directory: str, key: str) -> list[str]:
        patterns: Sequence[str] = self.context.config[key]
        return [
            name
            for name in self.context.names(directory)
            if not any(fnmatchcase(name, pattern) for pattern in patterns)
        ]

    def _interface(self, name: str) -> Device:
        base = f"{NET}/{name}"
        facts = {
            "hw.name": name,
            "network.interface.name": name,
            "hw.network.physical_address": self.context.text(f"{base}/address"),
            "accel.driver.name": driver(self.context, f"{base}/device"),
            "accel.numa.node": self.context.text(f"{base}/device/numa_node"),
            **link_type(self.context, name),
        }
        return Device(
            hw_id=interface_id(self.context, name),
            pci_bdf=pci_bdf(self.context, f"{base}/device"),
            attributes=_known(facts),
            lane=NET_LANE,
        )

    def _adapter(self, name: str) -> Device:
        base = f"{IB}/{name}"
        facts = {
            "hw.name": name,
            "hw.firmware_version": self.context.text(f"{base}/fw_ver"),
            "accel.driver.name": driver(self.context, f"{base}/device"),
            "accel.numa.node": self.context.text(f"{base}/device/numa_node"),
        }
        guid = self.context.text(f"{base}/node_guid").replace(":", "")
        return Device(
            hw_id=f"ib-{guid}" if guid.strip("0") else f"ib-{name}",
            model=self.context.text(f"{base}/hca_type") or self.context.text(f"{base}/board_id"),
            pci_bdf=pci_bdf(self.context, f"{base}/device"),
            attributes=_known(facts),
        )

    def _port(self, adapter: Device, name: str, port: str) -> Device:
        ethernet = self.context.text(f"{IB}/{name}/ports/{port}/link_layer") == "Ethernet"
        return Device(
            hw_id=f"{adapter.hw_id}-p{port}",
            model=adapter.model,
            parent=adapter.hw_id,
            pci_bdf=adapter.pci_bdf,
            attributes={
                "hw.name": name,
                "accel.link.index": port,
                "accel.link.type": "roce" if ethernet else "ib",
            },
        )

    def readings(self, device: Device) -> Iterable[FileProbe | Poll]:
        """Counters by the C lane; the two states that are text by Python."""
        if "network.interface.name" in device.attributes:
            return self._interface_readings(device)
        if "accel.link.index" in device.attributes:
            return self._port_readings(device)
        return ()

    def _interface_readings(self, device: Device) -> Iterable[FileProbe | Poll]:
        base = f"{NET}/{device.attributes['hw.name']}"
        more = _picked(device, "accel.link.type", "accel.link.native", "network.interface.name")
        for row in INTERFACE:
            yield from self._counter(device, f"{base}/statistics", row, more)
        yield from self._number(device, f"{base}/speed", "net_speed", more)
        yield from self._number(device, f"{base}/carrier_changes", "net_transitions", more)
        yield self._state(device, f"{base}/operstate", "net_up", more)

    def _port_readings(self, device: Device) -> Iterable[FileProbe | Poll]:
        base = f"{IB}/{device.attributes['hw.name']}/ports/{device.attributes['accel.link.index']}"
        more = _picked(device, "accel.link.type", "accel.link.index")
        for row in PORT:
            yield from self._counter(device, f"{base}/counters", row, more)
        for row in PORT_HARDWARE:
            yield from self._counter(device, f"{base}/hw_counters", row, more)
        yield from self._number(device, f"{base}/state", "ib_state", more)
        yield from self._rate(device, f"{base}/rate", more)
        yield self._state(device, f"{base}/state", "ib_up", more)

    def _counter(
        self, device: Device, directory: str, row: Row, more: Mapping[str, str]
    ) -> Iterable[FileProbe]:
        attributes = {**more, **row.attributes}
        return self._number(device, f"{directory}/{row.file}", row.metric, attributes)

    def _number(
        self, device: Device, file: str, key: str, attributes: Mapping[str, str]
    ) -> Iterable[FileProbe]:
        """A probe of a file with one number, where this kernel has the file."""
        path, metric = self.context.path(file), self.context.metrics[key]
        if path.exists():
            yield FileProbe(path, [Field(metric.of(device, attributes, native=file))], metric.cost)

    def _rate(self, device: Device, file: str, more: Mapping[str, str]) -> Iterable[FileProbe]:
        """`400 Gb/sec (4X NDR)`: speed, then lanes."""
        speed, width = self.context.metrics["ib_speed"], self.context.metrics["ib_width"]
        path = self.context.path(file)
        if path.exists():
            fields = [
                Field(speed.of(device, more, native=file), decimals=1),
                Field(width.of(device, more, native=file), index=1),
            ]
            yield FileProbe(path, fields, speed.cost)

    def _state(self, device: Device, file: str, key: str, more: Mapping[str, str]) -> Poll:
        metric, path = self.context.metrics[key], self.context.path(file)

        def read() -> Sequence[Reading]:
            text = path.read_text("ascii").strip()
            return [_port_up(text) if key == "ib_up" else self._up(text, file)]

        return Poll(file, [metric.of(device, more, native=file)], read, metric.cost)

    def _up(self, state: str, file: str) -> Reading:
        """RFC 2863; drivers that say `unknown` (loopback, tun) still know their carrier."""
        if state == "unknown":
            state = {"1": "up", "0": "down"}.get(
                self.context.text(file.replace("operstate", "carrier")), ""
            )
        if state in ("up", *DOWN_STATES):
            return int(state == "up")
        return Missing(Reason.UNSUPPORTED)


def _port_up(state: str) -> Reading:
    """`4: ACTIVE`."""
    number = state.partition(":")[0]
    return int(number == ACTIVE) if number.isdigit() else Missing(Reason.UNSUPPORTED)


def _picked(device: Device, *names: str) -> dict[str, str]:
    return {name: device.attributes[name] for name in names if name in device.attributes}


def _unique(devices: Iterable[Device]) -> Iterable[Device]:
    """Interfaces on one address (a port and its virtual twin) carry their names as well."""
    seen = set()
    for device in devices:
        if device.hw_id in seen:
            device = replace(device, hw_id=f"{device.hw_id}-{device.attributes['hw.name']}")
        seen.add(device.hw_id)
        yield device


def _known(facts: Mapping[str, str]) -> dict[str, str]:
    """Without what the kernel does not say; NUMA node -1 is such an answer."""
    return {name: value for name, value in facts.items() if value not in ("", "-1")}
