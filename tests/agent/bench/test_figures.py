from __future__ import annotations

import pytest

from xinmai.bench.figures import Bar, Figure, figure_of, paired, spread


def figure(value: float | None, **more: object) -> Figure:
    return Figure("name", value, "unit", "reference", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (figure(1.0), "none"),
        (figure(1.0, bar=Bar("value", True, 1.0)), "pass"),
        (figure(1.1, bar=Bar("value", True, 1.0)), "fail"),
        (figure(9.0, ratio=1.2, bar=Bar("ratio", False, 1.15)), "pass"),
        (figure(9.0, ratio=1.1, bar=Bar("ratio", False, 1.15)), "fail"),
        (figure(9.0, ratio=1.0, spread=0.31, bar=Bar("ratio", True, 1.1)), "noisy"),
        (figure(9.0, ratio=None, bar=Bar("ratio", True, 1.1)), "none"),
        (figure(None, bar=Bar("ratio", True, 1.1), why="no right"), "absent"),
    ],
)
def test_verdict_follows_the_bar_unless_the_pairs_disagree(one: Figure, verdict: str) -> None:
    assert one.verdict == verdict
    assert one.to_map()["verdict"] == verdict


def test_what_was_not_measured_has_a_reason_and_no_number() -> None:
    out = figure(None, why="no right to it").to_map()
    assert out["value"] is None
    assert out["why"] == "no right to it"
    assert set(out) == {
        "name",
        "value",
        "unit",
        "reference",
        "reference_value",
        "ratio",
        "why",
        "verdict",
    }


def test_the_bar_is_printed_in_words() -> None:
    assert figure(1.0, bar=Bar("ratio", True, 1.1)).to_map()["bar"] == "ratio ≤ 1.1"
    assert figure(1.0, bar=Bar("value", False, 2)).to_map()["bar"] == "value ≥ 2"


def test_sides_take_turns_and_ratios_are_of_pairs() -> None:
    order: list[str] = []
    mine, others = iter([2.0, 9.0, 6.0]), iter([1.0, 3.0, 2.0])

    def ours() -> float:
        order.append("A")
        return next(mine)

    def theirs() -> float:
        order.append("B")
        return next(others)

    one = paired("name", "unit", "reference", ours, theirs, 3)
    assert order == ["A", "B"] * 3
    assert (one.value, one.reference_value, one.ratio) == (6.0, 2.0, 3.0)


def test_nothing_is_compared_with_nought() -> None:
    one = figure_of("name", "unit", "reference", [1.0, 2.0], [0.0, 1.0])
    assert (one.ratio, one.spread, one.verdict) == (None, None, "none")


def test_spread_is_between_the_quartiles() -> None:
    assert spread([1.0] * 7) == 0
    assert spread([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 9.0]) == 0
    assert spread([0.5, 1.0, 1.5, 2.0]) == pytest.approx(0.5 / 1.25)
