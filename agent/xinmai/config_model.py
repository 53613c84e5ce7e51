"""The configuration as immutable data; names, units and help of the keys are in `config_keys`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from xinmai.rules import Rule

SYSTEM_STATE_DIR = Path("/var/lib/xinmai")
SYSTEM_RUN_DIR = Path("/run/xinmai")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Who this node is. `name` defaults to the host name, made fit for a topic."""

    name: str
    edge: str = "local"
    root: Path = Path("/")
    state_dir: Path = SYSTEM_STATE_DIR
    run_dir: Path = SYSTEM_RUN_DIR


@dataclass(frozen=True, slots=True)
class CadenceConfig:
    """Default periods per cost class; the one table of `config print`.

    `profile = "quiet"` makes fast 1 s. `explicit` names classes that a person set: they are obeyed
    even where a device's calls take more than `budget` of wall time.
    """

    profile: Literal["default", "quiet"] = "default"
    fast_ns: int = 100_000_000
    slow_ns: int = 1_000_000_000
    rare_ns: int = 60_000_000_000
    explicit: frozenset[str] = frozenset()
    budget: float = 0.01


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """How to reach the broker; the password comes from a file or a systemd credential."""

    url: str = "mqtt://127.0.0.1:1883"
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    username: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    keepalive_s: int = 30


@dataclass(frozen=True, slots=True)
class ShipperConfig:
    """Windows, batches and the spool."""

    window_ns: int = 1_000_000_000
    batch_bytes: int = 256 * 1024
    in_flight: int = 8
    unstored_bytes: int = 16 * 2**20
    spool_bytes: int = 2**30
    confirm: Literal["stored", "puback"] = "stored"
    raw: tuple[str, ...] = ()
    """Patterns `plugin/lane` of lanes streamed at full rate."""
    commands: Literal["auto", "capture", "off"] = "auto"


@dataclass(frozen=True, slots=True)
class CaptureConfig:
    """The flight recorder: what begins a capture, and how much it takes."""

    before_ns: int = 5_000_000_000
    after_ns: int = 5_000_000_000
    longest_ns: int = 30_000_000_000
    most_bytes: int = 16 * 2**20
    per_hour: int = 12
    lanes: tuple[str, ...] = ("*",)
    """Patterns `plugin/lane`; of these, lanes faster than a rollup window."""
    severity: Literal["info", "warning", "error", "critical", "never"] = "error"
    codes: tuple[str, ...] = ()
    when: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """The edge collector."""

    edges: tuple[str, ...] = ("local",)
    store_dir: Path = SYSTEM_STATE_DIR / "store"
    listen: str = "127.0.0.1:9470"
    seal_s: int = 60
    seal_bytes: int = 64 * 2**20
    retain_days: float = 30.0
    retain_bytes: int = 50 * 2**30


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """One `[plugins.NAME]` table.

    Args:
        enabled: None: when its needs are met.
        period_ns: periods set for this plugin by cost class; obeyed.
        keys: the plugin's own keys, checked against its manifest.
        source: (file, line) per key, for error messages.
    """

    enabled: bool | None = None
    period_ns: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything; immutable, built once per process by `load`."""

    node: NodeConfig
    cadence: CadenceConfig = CadenceConfig()
    broker: BrokerConfig = BrokerConfig()
    shipper: ShipperConfig = ShipperConfig()
    capture: CaptureConfig = CaptureConfig()
    collector: CollectorConfig = CollectorConfig()
    plugins: Mapping[str, PluginConfig] = field(default_factory=dict)
