"""Captures on the page: the list, one at full rate, the button that asks for another."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fakes import fakecaptures
from fakes.fakecollector import FakeCollector

from .conftest import WIDE, Watched, until, visit

pytestmark = pytest.mark.browser

NODE = "#/node/row-a/gpu-a01"
CAPTURE = f"#/capture/row-a/gpu-a01/{fakecaptures.ID}"
LINES = """[...(document.querySelector("#chart")?.data ?? [])]
    .filter((it) => it.meta === "line" && it.x.length > 9)"""


def lines(page: Page, number: int = 1) -> list[dict[str, Any]]:
    until(page, f"{LINES}.length === arg", number)
    found: list[dict[str, Any]] = page.evaluate(
        f"{LINES}.map(({{ name, x, y }}) => ({{ name, x, y }}))"
    )
    return found


def zoom(page: Page, begin: float, end: float) -> None:
    program = """([begin, end]) => window.Plotly.relayout(
        document.querySelector("#chart"), { "xaxis.range[0]": begin, "xaxis.range[1]": end })"""
    page.evaluate(program, [begin, end])


def test_captures_are_listed_with_time_node_and_cause(page: Page, collector_url: str) -> None:
    visit(page, collector_url)
    page.get_by_role("link", name="Captures").click()
    rows = page.locator("table tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text(re.compile(r"gpu-a01.*threshold.*above 950 W.*10 s", re.S))
    expect(rows.last).to_contain_text(re.compile(r"npu-a02.*event.*7 s incomplete", re.S))
    page.get_by_role("searchbox").fill("ECC")
    expect(rows).to_have_count(1)
    page.get_by_role("searchbox").fill("")
    rows.first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Capture of gpu-a01")


def test_a_capture_shows_every_peak_and_where_nothing_was_read(
    page: Page, collector_url: str
) -> None:
    visit(page, collector_url, CAPTURE)
    (power,) = lines(page)
    assert power["name"] == "hw.power"
    # 9,900 readings on some thousand pixels, and the one of a millisecond is among them.
    assert len(power["x"]) < 6000
    at = power["y"].index(fakecaptures.SPIKE_W)
    assert power["x"][at] == fakecaptures.SPIKE_MS / 1000
    gap = power["x"][power["y"].index(None)]
    assert fakecaptures.GAP_MS.start / 1000 - 0.01 < gap < fakecaptures.GAP_MS.stop / 1000
    assert power["x"][0] == -5.0
    expect(page.locator("#facts")).to_contain_text("above 950 W")
    expect(page.locator("#facts")).to_contain_text(re.compile("Further triggers 2"))
    marks = page.evaluate("document.querySelector('#chart').layout.shapes.map((it) => it.x0)")
    assert marks == [0]


def test_zooming_in_shows_each_reading(page: Page, collector_url: str) -> None:
    visit(page, collector_url, CAPTURE)
    lines(page)
    zoom(page, 1.2, 1.3)
    until(page, f"{LINES}[0]?.x.length < 110")
    (power,) = lines(page)
    inside = [at for at in power["x"] if 1.2 <= at <= 1.3]
    assert [round(at * 1000) for at in inside] == list(range(1200, 1301))
    until(page, "document.querySelectorAll('#chart .points path').length > 90")


def test_series_are_chosen_with_two_units_at_most(page: Page, collector_url: str) -> None:
    visit(page, collector_url, CAPTURE)
    lines(page)
    page.get_by_role("checkbox", name="hw.temperature 0").check()
    power, temperature = lines(page, 2)
    assert temperature["y"][0] == 55.0
    assert None in temperature["y"]
    row = page.locator("#legend tbody tr", has_text="hw.temperature").first
    expect(row).to_contain_text("100 without a value: timed out")
    expect(page.get_by_role("checkbox", name="hw.gpu.utilization")).to_be_disabled()
    page.get_by_role("checkbox", name="hw.power").uncheck()
    assert [line["name"] for line in lines(page)] == ["hw.temperature 0"]
    assert power["name"] == "hw.power"


def test_a_counter_is_drawn_as_its_growth_or_as_it_is(page: Page, collector_url: str) -> None:
    visit(page, collector_url, CAPTURE)
    lines(page)
    page.get_by_role("checkbox", name="hw.power").uncheck()
    page.get_by_role("checkbox", name="hw.energy").check()
    until(page, f"{LINES}.length === 1 && {LINES}[0].name === 'hw.energy'")
    (energy,) = lines(page)
    assert {round(y, 3) for y in energy["y"] if y is not None} == {400.0}
    page.get_by_role("button", name="Raw count").click()
    until(page, f"{LINES}[0].y[0] > 0.9")
    assert lines(page)[0]["y"][-1] == pytest.approx(1.002, abs=0.001)


def test_readings_are_downloaded_as_files(page: Page, collector_url: str) -> None:
    visit(page, collector_url, CAPTURE)
    expected = f"/api/captures/{fakecaptures.ID}/file?edge=row-a&node=gpu-a01&format="
    for kind in ("parquet", "csv"):
        link = page.get_by_role("link", name=kind)
        expect(link).to_have_attribute("href", expected + kind)


def test_a_node_lists_its_captures_and_can_be_asked_for_one(
    page: Page, fake: FakeCollector, collector_url: str
) -> None:
    fake.asked.clear()
    visit(page, collector_url, NODE)
    rows = page.locator("#captures tbody tr")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Capture now").click()
    expect(page.locator(".asked")).to_contain_text(f"Capture {fakecaptures.ID} has begun")
    assert fake.asked == [{"edge": "row-a", "node": "gpu-a01", "before_s": 5, "after_s": 5}]


def test_a_refusal_is_shown_in_the_nodes_words(
    watched: Watched, fake: FakeCollector, collector_url: str
) -> None:
    watched.outage = True
    fake.refusal = "gpu-a01 refused: 12 captures an hour"
    visit(watched.page, collector_url, NODE)
    watched.page.get_by_role("button", name="Capture now").click()
    expect(watched.page.locator(".asked .alarm")).to_have_text(fake.refusal)


def test_from_another_machine_the_button_gives_way_to_a_reason(
    page: Page, fake: FakeCollector, collector_url: str
) -> None:
    fake.local = False
    visit(page, collector_url, NODE)
    expect(page.locator("#captures")).to_contain_text("on the collector's own machine only")
    expect(page.get_by_role("button", name="Capture now")).to_have_count(0)


@pytest.mark.parametrize("watched", [{"locale": "zh-CN"}], indirect=True)
def test_captures_speak_chinese(page: Page, collector_url: str) -> None:
    visit(page, collector_url, CAPTURE)
    lines(page)
    expect(page.locator("#facts")).to_contain_text("触发方式 阈值")
    title = page.evaluate("document.querySelector('#chart').layout.xaxis.title.text")
    assert title.startswith("相对触发时刻")


@pytest.mark.parametrize("watched", [{"viewport": WIDE}], indirect=True)
def test_eight_series_at_full_rate_stay_smooth(watched: Watched, collector_url: str) -> None:
    page = watched.page
    visit(page, collector_url, CAPTURE)
    lines(page)
    page.get_by_role("checkbox", name="hw.power").uncheck()
    for sensor in range(5):
        page.get_by_role("checkbox", name=f"hw.temperature {sensor}").check()
    page.get_by_role("checkbox", name="hw.power").check()
    lines(page, 6)
    page.evaluate("window.longestTask = 0")
    zoom(page, -4, 4)
    until(page, f"{LINES}[0].x[0] > -4.1")
    # A drawing of sixty thousand readings; a shared machine gets leeway.
    assert page.evaluate("longestTask") < 1500
