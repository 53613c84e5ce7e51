"""The one table of configuration keys; loading, printing, documentation and environment use it.

Defaults are those of the dataclasses in `config_model`; nothing is said twice.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any

from xinmai import config_values as values
from xinmai.config_model import (
    BrokerConfig,
    CadenceConfig,
    CaptureConfig,
    CollectorConfig,
    NodeConfig,
    ShipperConfig,
)
from xinmai.config_values import ValueType

SECTIONS = {
    "node": NodeConfig,
    "cadence": CadenceConfig,
    "broker": BrokerConfig,
    "shipper": ShipperConfig,
    "capture": CaptureConfig,
    "collector": CollectorConfig,
}
COST_CLASSES = ("fast", "slow", "rare")


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key.

    Args:
        name: dotted, as in the files.
        field: of the section's dataclass, with its unit.
        computed: how the default comes about where it is no constant.
    """

    name: str
    field: str
    type: ValueType
    help: str
    computed: str = ""

    @property
    def section(self) -> str:
        """The table it stands in."""
        return self.name.partition(".")[0]

    @property
    def leaf(self) -> str:
        """The name within its table."""
        return self.name.partition(".")[2]

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return environment_name(self.name)

    @property
    def default(self) -> Any:
        """The dataclass's own default, None where it has none."""
        for entry in fields(SECTIONS[self.section]):
            if entry.name == self.field:
                return None if entry.default is MISSING else entry.default
        raise KeyError(self.name)


def environment_name(name: str) -> str:
    """`XINMAI_BROKER_URL` for `broker.url`."""
    return "XINMAI_" + name.upper().replace(".", "_")


PERIODS: dict[str, ValueType] = {
    "fast": values.period_ns("100us", "1h"),
    "slow": values.period_ns("10ms", "1h"),
    "rare": values.period_ns("1s", "24h"),
}
PLUGIN_ENABLED = values.flag()
PLUGIN_PERIOD = values.period_ns("100us", "24h")

KEYS: tuple[Key, ...] = (
    Key(
        "node.name",
        "name",
        values.name(),
        "Name of this node in topics and tables.",
        computed="the host name",
    ),
    Key(
        "node.edge", "edge", values.name(), "The rack, row or site whose collector takes this node."
    ),
    Key(
        "node.root",
        "root",
        values.path(),
        "Prefix of every path that plugins read; other than / only for recorded machines.",
    ),
    Key(
        "node.state_dir",
        "state_dir",
        values.path(),
        "Spool, session number and, where a collector runs here, its store.",
        computed="/var/lib/xinmai where /etc/xinmai/xinmai.toml exists, else ~/.local/state/xinmai",
    ),
    Key(
        "node.run_dir",
        "run_dir",
        values.path(),
        "Control sockets; gone after a restart of the machine.",
        computed="/run/xinmai where /etc/xinmai/xinmai.toml exists, else $XDG_RUNTIME_DIR/xinmai",
    ),
    Key(
        "cadence.profile",
        "profile",
        values.choice("default", "quiet"),
        "quiet reads fast series once a second as well, unless cadence.fast says otherwise.",
    ),
    Key("cadence.fast", "fast_ns", PERIODS["fast"], "Links, accelerator power and temperature."),
    Key("cadence.slow", "slow_ns", PERIODS["slow"], "Everything else that changes."),
    Key("cadence.rare", "rare_ns", PERIODS["rare"], "What is expensive or hardly changes."),
    Key(
        "cadence.budget",
        "budget",
        values.number(0.0001, 1),
        "Share of wall time the calls of one device may take; above it the rate is halved, "
        "unless it was set explicitly.",
    ),
    Key("broker.url", "url", values.broker_url(), "The MQTT broker."),
    Key(
        "broker.protocol",
        "protocol",
        values.choice("auto", "5", "3.1.1"),
        "auto tries MQTT 5 once and falls back to 3.1.1.",
    ),
    Key("broker.username", "username", values.text(), 'User name at the broker, "" for none.'),
    Key(
        "broker.password_file",
        "password_file",
        values.optional_path(),
        "File that holds the password and nothing else.",
    ),
    Key("broker.ca", "ca", values.optional_path(), "PEM file of authorities that mqtts trusts."),
    Key("broker.cert", "cert", values.optional_path(), "PEM file of the client certificate."),
    Key("broker.key", "key", values.optional_path(), "PEM file of the client certificate's key."),
    Key(
        "broker.keepalive",
        "keepalive_s",
        values.seconds("5s", "1h"),
        "Longest silence before the broker takes the node for dead.",
    ),
    Key(
        "shipper.window",
        "window_ns",
        values.period_ns("100ms", "60s"),
        "Width of a rollup window.",
    ),
    Key(
        "shipper.batch_bytes",
        "batch_bytes",
        values.size_bytes("4KiB", "1000KiB"),
        "Size at which a batch is closed.",
    ),
    Key(
        "shipper.in_flight",
        "in_flight",
        values.integer(1, 1000),
        "Publishes without an acknowledgement of the broker.",
    ),
    Key(
        "shipper.unstored_bytes",
        "unstored_bytes",
        values.size_bytes("64KiB", "1GiB"),
        "Bytes sent and not yet stored by the collector; above it the spool grows instead.",
    ),
    Key(
        "shipper.spool_bytes",
        "spool_bytes",
        values.size_bytes("1MiB", "1TiB"),
        "Disk the spool may take; at the limit the oldest raw data goes first, events last.",
    ),
    Key(
        "shipper.confirm",
        "confirm",
        values.choice("stored", "puback"),
        "What frees the spool: the collector's durable write, or (without a collector) "
        "the broker's acknowledgement, which is no proof of delivery.",
    ),
    Key(
        "shipper.raw",
        "raw",
        values.texts(values.text(), '["host/*"]'),
        "Patterns PLUGIN/LANE of lanes sent at full rate besides their rollups.",
    ),
    Key(
        "shipper.commands",
        "commands",
        values.choice("auto", "capture", "off"),
        "Whether a collector may ask for a capture; auto: while the broker is on loopback.",
    ),
    Key(
        "capture.before",
        "before_ns",
        values.period_ns("100ms", "5min"),
        "How much of the time before a trigger is kept at full rate, as far as the ring reaches.",
    ),
    Key(
        "capture.after",
        "after_ns",
        values.period_ns("100ms", "5min"),
        "How much of the time after a trigger is kept at full rate.",
    ),
    Key(
        "capture.longest",
        "longest_ns",
        values.period_ns("1s", "1h"),
        "A capture that further triggers extend ends after this.",
    ),
    Key(
        "capture.bytes",
        "most_bytes",
        values.size_bytes("64KiB", "1GiB"),
        "Size at which a capture is cut.",
    ),
    Key(
        "capture.per_hour",
        "per_hour",
        values.integer(0, 3600),
        "Captures begun by triggers in an hour; further ones are counted. 0 for none.",
    ),
    Key(
        "capture.lanes",
        "lanes",
        values.texts(values.text(), '["host/*"]'),
        "Patterns PLUGIN/LANE of what a capture holds; of these, lanes faster than shipper.window.",
    ),
    Key(
        "capture.severity",
        "severity",
        values.choice("info", "warning", "error", "critical", "never"),
        "An event of this severity or a higher one begins a capture.",
    ),
    Key(
        "capture.codes",
        "codes",
        values.texts(values.text(), '["xid*"]'),
        "Patterns of codes of events that begin a capture whatever their severity.",
    ),
    Key(
        "capture.when",
        "when",
        values.texts(values.rule(), '["hw.power above 700"]'),
        "Rules on series, in their unit: a bound that is crossed, or a step in a counter's rate "
        "per second. Of a device that is lost, or a host that dies, a capture is made anyway.",
    ),
    Key(
        "collector.edges",
        "edges",
        values.texts(values.name(), '["local"]'),
        "Edges this collector owns; an edge has one owner.",
    ),
    Key(
        "collector.store_dir",
        "store_dir",
        values.path(),
        "Log and Parquet files.",
        computed="store in node.state_dir",
    ),
    Key(
        "collector.listen", "listen", values.listen(), "Where the web page and /metrics are served."
    ),
    Key(
        "collector.seal",
        "seal_s",
        values.seconds("1s", "1h"),
        "Age at which the log becomes a Parquet file.",
    ),
    Key(
        "collector.seal_bytes",
        "seal_bytes",
        values.size_bytes("64KiB", "4GiB"),
        "Size at which the log becomes a Parquet file.",
    ),
    Key(
        "collector.retain_days",
        "retain_days",
        values.number(0.01, 36500),
        "Days that data is kept.",
    ),
    Key(
        "collector.retain_bytes",
        "retain_bytes",
        values.size_bytes("1MiB", "1024TiB"),
        "Disk the store may take; at the limit the oldest files go.",
    ),
)

BY_NAME: dict[str, Key] = {key.name: key for key in KEYS}
