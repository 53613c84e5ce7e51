"""The typed face of the C extension: lanes, ring, rollup and column packing."""

from xinmai_native._core import (
    KIND_FLOAT,
    KIND_GAUGE,
    KIND_LAST,
    LANE_COLUMNS,
    LANE_RECORDS,
    Lane,
    LaneState,
    Ring,
    RingError,
    RingReader,
    Rows,
    Windows,
    clock,
    crc32c,
    pack,
    unpack,
)

__all__ = [
    "KIND_FLOAT",
    "KIND_GAUGE",
    "KIND_LAST",
    "LANE_COLUMNS",
    "LANE_RECORDS",
    "Lane",
    "LaneState",
    "Ring",
    "RingError",
    "RingReader",
    "Rows",
    "Windows",
    "clock",
    "crc32c",
    "pack",
    "unpack",
]
