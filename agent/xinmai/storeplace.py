"""Where `xinmai up` last put its store, so that `query` finds it without an option."""

from __future__ import annotations

from pathlib import Path

from xinmai.config import Config

_FILE = "store-path"


def remember_store(config: Config) -> None:
    """Note the store of this configuration in its state directory."""
    config.node.state_dir.mkdir(parents=True, exist_ok=True)
    path = config.node.state_dir / _FILE
    new = path.with_name(f"{_FILE}.new")
    new.write_text(f"{config.collector.store_dir}\n", encoding="utf-8")
    new.replace(path)


def find_store(config: Config) -> Path:
    """The store that was noted, while it is there, else the configured one."""
    try:
        noted = Path((config.node.state_dir / _FILE).read_text("utf-8").rstrip("\n"))
    except (OSError, UnicodeDecodeError):
        return config.collector.store_dir
    return noted if noted.is_absolute() and noted.is_dir() else config.collector.store_dir
