"""Which numbers and fields of the SDK go to which attributes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
MAX_WAYS, MAX_LINKS, MAX_PROCESSES = 8, 32, 64
SENSORS: Final = {"core": 0, "board": 3}
CLOCKS: Final = {"core": 0, "memory": 1}
TASKS: Final = {"core": "general", "encoder": "encoder", "decoder": "decoder"}
THROTTLE: Final = {"power": "power", "thermal": "thermal", "brake": "hw_brake", "board": "board"}
# Members of nsdkValue by value_type.
VALUE_UNSIGNED: Final = {0: "ui", 2: "ull"}
VALUE_DOUBLE: Final = {3: "d"}
# Field of the struct, key of metrics.toml, attributes.
LINK_TRAFFIC: Final = (
    ("rx_bytes", "link_io", {"network.io.direction": "receive"}),
    ("tx_bytes", "link_io", {"network.io.direction": "transmit"}),
    ("crc_errors", "link_errors", {"error.type": "crc"}),
    ("replays", "link_errors", {"error.type": "replay"}),
)
LINK_STATE: Final = (
    ("up", "link_up", NOTHING),
    ("speed_bytes_per_s", "link_speed", NOTHING),
)
