from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xinmai.config import CollectorConfig, Config, NodeConfig
from xinmai.storeplace import find_store, remember_store


def config(tmp_path: Path) -> Config:
    return Config(
        NodeConfig("n", state_dir=tmp_path / "state"),
        collector=CollectorConfig(store_dir=tmp_path / "state" / "store"),
    )


def test_configured_store_where_nothing_was_noted(tmp_path: Path) -> None:
    assert find_store(config(tmp_path)) == tmp_path / "state" / "store"


def test_store_of_the_last_run_is_found(tmp_path: Path) -> None:
    ours = config(tmp_path)
    kept = tmp_path / "kept"
    kept.mkdir()

    remember_store(replace(ours, collector=replace(ours.collector, store_dir=kept)))

    assert find_store(ours) == kept


def test_noted_store_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    ours = config(tmp_path)
    gone = tmp_path / "gone"

    remember_store(replace(ours, collector=replace(ours.collector, store_dir=gone)))

    assert find_store(ours) == ours.collector.store_dir


def test_damaged_note_is_ignored(tmp_path: Path) -> None:
    ours = config(tmp_path)
    ours.node.state_dir.mkdir()
    (ours.node.state_dir / "store-path").write_bytes(b"\xff\n")

    assert find_store(ours) == ours.collector.store_dir
