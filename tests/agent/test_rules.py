"""Rules of captures, from text."""

from __future__ import annotations

import pytest

from xinmai.rules import Rule, parse_rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("hw.power above 700", {"metric": "hw.power", "test": "above", "number": 700.0}),
        ("hw.*@GPU-* below -1.5e3", {"metric": "hw.*", "hw_id": "GPU-*", "number": -1500.0}),
        ("hw.errors rate 0.5", {"test": "rate", "number": 0.5, "factor": 0.0}),
        ("hw.network.io rate 4x 1e6", {"test": "rate", "number": 1e6, "factor": 4.0}),
        (
            "hw.errors{error.type=ecc*}{hw.sensor=}@c above 0",
            {"attributes": {"error.type": "ecc*", "hw.sensor": ""}, "hw_id": "c"},
        ),
    ],
)
def test_a_rule_is_read_from_its_text(text: str, rule: dict[str, object]) -> None:
    found = parse_rule(f" {text} ")
    assert {name: getattr(found, name) for name in rule} == rule
    assert found.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hw.power",
        "hw.power above",
        "hw.power over 3",
        "hw.power above 3 W",
        "hw.power above 2x 3",
        "hw.power above nan",
        "hw.power above 1e999",
        "hw.power rate 1e999x 3",
        "hw.power{sensor} above 3",
        "hw.power above 3\nhw.x above 4",
    ],
)
def test_what_is_no_rule_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match=r"METRIC|factor|large"):
        parse_rule(text)


def test_a_rule_looks_at_series_by_metric_device_and_attributes() -> None:
    rule = Rule("", "hw.*", "above", 1, hw_id="GPU-*", attributes={"direction": "tx"})
    assert rule.matches("hw.io", "GPU-1", {"direction": "tx", "port": "3"})
    assert not rule.matches("system.io", "GPU-1", {"direction": "tx"})
    assert not rule.matches("hw.io", "NIC-1", {"direction": "tx"})
    assert not rule.matches("hw.io", "GPU-1", {})
