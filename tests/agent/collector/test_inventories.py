"""Bounds on what is held for nodes that have not yet stored anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.collector.node import Node, series
from xinmai.collector import inventories as module
from xinmai.collector.counters import Counters
from xinmai.collector.inventories import Inventories, Known, Parking, Shelf
from xinmai.collector.seriesfile import SeriesFile, read_series


def key(node: str, schema: str) -> module.Key:
    return ("local", node, schema)


def test_a_shelf_holds_so_many_per_node_and_so_much_in_all() -> None:
    shelf: Shelf[str] = Shelf(2, 100)
    for schema in ("a", "b", "c"):
        shelf.put(key("n1", schema), schema, 10)
    assert [shelf.get(key("n1", schema)) for schema in "abc"] == [None, "b", "c"]
    shelf.put(key("n2", "d"), "d", 85)
    assert key("n1", "b") not in shelf
    assert key("n1", "c") in shelf
    shelf.put(key("n3", "e"), "e", 99)
    assert key("n2", "d") not in shelf


def test_what_was_used_last_stays() -> None:
    shelf: Shelf[str] = Shelf(2, 100)
    shelf.put(key("n1", "a"), "a", 1)
    shelf.put(key("n1", "b"), "b", 1)
    shelf.get(key("n1", "a"))
    shelf.put(key("n1", "c"), "c", 1)
    assert key("n1", "a") in shelf
    assert key("n1", "b") not in shelf


def test_parking_gives_its_room_back() -> None:
    parking = Parking()
    where = key("n1", "a")
    body = bytes(module.PARKED_PER_NODE_BYTES // 2)
    assert parking.park(where, "t", body)
    assert not parking.park(where, "t", body)
    assert parking.take(where) == [("t", body)]
    assert parking.park(where, "t", body)


def known_of(node: Node) -> Known:
    _, payload = node.announce()
    return Known.of(("local", node.name, node.schema), payload)


def test_a_persisted_inventory_is_found_by_the_next_process(tmp_path: Path) -> None:
    known = known_of(Node())
    Inventories(tmp_path).persist(known)
    found = Inventories(tmp_path).find(known.key)
    assert found is not None
    assert found.inventory == known.inventory
    assert Inventories(tmp_path).find(key("n1", "0" * 16)) is None


def test_the_series_table_takes_what_is_new_and_what_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "series.jsonl"
    first = known_of(Node(columns=[series("hw.power")]))
    SeriesFile(path).persist(first)
    SeriesFile(path).persist(first)
    assert len(path.read_bytes().splitlines()) == 1
    other = SeriesFile(path)
    other.persist(known_of(Node(columns=[series("hw.power"), series("hw.voltage")])))
    assert [meta.metric for meta in read_series(path)] == ["hw.power", "hw.voltage"]


def test_counters_are_bounded_and_say_things_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("xinmai.collector.counters.MAX_SENDERS", 3)
    counters = Counters()
    for number in range(10):
        for _ in range(2):
            counters.refuse("local", f"n{number}", "shape", "x" * 10_000)
    assert sum(counters.refused.values()) == 20
    assert counters.refused["", "", "shape"] == 14
    assert len(caplog.records) == 4
    assert max(len(record.getMessage()) for record in caplog.records) < 400
