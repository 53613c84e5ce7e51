"""Which counter file of the kernel is which metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """A file with one number: `metric` is a key of metrics.toml."""

    file: str
    metric: str
    direction: str = ""
    error: str = ""

    @property
    def attributes(self) -> Mapping[str, str]:
        """By catalogue name."""
        pairs = {"network.io.direction": self.direction, "error.type": self.error}
        return {name: value for name, value in pairs.items() if value}


RX, TX = "receive", "transmit"

# https://docs.kernel.org/networking/statistics.html
INTERFACE: Final = (
    Row("rx_bytes", "net_io", RX),
    Row("tx_bytes", "net_io", TX),
    Row("rx_packets", "net_packets", RX),
    Row("tx_packets", "net_packets", TX),
    Row("rx_errors", "net_errors", RX, "any"),
    Row("tx_errors", "net_errors", TX, "any"),
    Row("rx_dropped", "net_errors", RX, "drop"),
    Row("tx_dropped", "net_errors", TX, "drop"),
    Row("rx_crc_errors", "net_errors", RX, "crc"),
    Row("rx_fifo_errors", "net_errors", RX, "fifo"),
    Row("tx_fifo_errors", "net_errors", TX, "fifo"),
    Row("rx_missed_errors", "net_error_causes", RX, "missed"),
    Row("rx_frame_errors", "net_error_causes", RX, "frame"),
    Row("rx_length_errors", "net_error_causes", RX, "length"),
    Row("rx_over_errors", "net_error_causes", RX, "overrun"),
    Row("tx_aborted_errors", "net_error_causes", TX, "aborted"),
    Row("tx_carrier_errors", "net_error_causes", TX, "carrier"),
    Row("tx_window_errors", "net_error_causes", TX, "window"),
    Row("collisions", "net_error_causes", TX, "collision"),
)

# InfiniBand Architecture Specification, PortCounters and PortCountersExtended.
PORT: Final = (
    Row("port_rcv_data", "ib_io", RX),
    Row("port_xmit_data", "ib_io", TX),
    Row("port_rcv_packets", "ib_packets", RX),
    Row("port_xmit_packets", "ib_packets", TX),
    Row("port_xmit_wait", "ib_stalls", TX),
    Row("symbol_error", "ib_errors", RX, "symbol"),
    Row("link_error_recovery", "ib_errors", "", "recovery"),
    Row("link_downed", "ib_errors", "", "link_downed"),
    Row("port_rcv_errors", "ib_errors", RX, "any"),
    Row("port_xmit_discards", "ib_errors", TX, "drop"),
    Row("port_rcv_remote_physical_errors", "ib_error_causes", RX, "remote_physical"),
    Row("port_rcv_switch_relay_errors", "ib_error_causes", RX, "switch_relay"),
    Row("port_rcv_constraint_errors", "ib_error_causes", RX, "constraint"),
    Row("port_xmit_constraint_errors", "ib_error_causes", TX, "constraint"),
    Row("local_link_integrity_errors", "ib_error_causes", RX, "integrity"),
    Row("excessive_buffer_overrun_errors", "ib_error_causes", RX, "overrun"),
    Row("VL15_dropped", "ib_error_causes", RX, "vl15_drop"),
)

# https://docs.nvidia.com/networking, "InfiniBand and RoCE counters"; other drivers have a few too.
PORT_HARDWARE: Final = (
    Row("np_cnp_sent", "ib_error_causes", TX, "cnp"),
    Row("rp_cnp_handled", "ib_error_causes", RX, "cnp"),
    Row("rp_cnp_ignored", "ib_error_causes", RX, "cnp_ignored"),
    Row("np_ecn_marked_roce_packets", "ib_error_causes", RX, "ecn_marked"),
    Row("rx_icrc_encapsulated", "ib_error_causes", RX, "icrc"),
    Row("out_of_buffer", "ib_error_causes", RX, "out_of_buffer"),
    Row("out_of_sequence", "ib_error_causes", RX, "out_of_sequence"),
    Row("packet_seq_err", "ib_error_causes", TX, "sequence"),
    Row("duplicate_request", "ib_error_causes", RX, "duplicate_request"),
    Row("implied_nak_seq_err", "ib_error_causes", TX, "implied_nak"),
    Row("local_ack_timeout_err", "ib_error_causes", TX, "ack_timeout"),
    Row("rnr_nak_retry_err", "ib_error_causes", TX, "rnr_nak"),
)
