"""The page in a real Chromium, as a person uses it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, Response, expect

from fakes import fakecaptures
from fakes.fakecollector import FakeCollector, Node, Series, device, large_fleet

from .conftest import WIDE, Watched, until, visit

pytestmark = pytest.mark.browser

POWER = "#/series/100?at=row-a/gpu-a01"
COUNTER = "#/series/105?at=row-a/gpu-a01"
CAPTURE = f"#/capture/row-a/gpu-a01/{fakecaptures.ID}"
PAGES = (
    "#/",
    "#/node/row-a/gpu-a01",
    POWER,
    "#/quality/row-a/npu-a02",
    "#/events",
    "#/captures",
    CAPTURE,
)
LINE = "document.querySelector('#chart')?.data?.find((trace) => trace.meta === 'line')"


def row(page: Page, text: str) -> Any:
    return page.locator("tbody tr", has_text=text)


def chart_lines(page: Page) -> Any:
    drawn = "document.querySelector('#chart')?.data?.some((it) => it.x.length > 9)"
    until(page, drawn)
    return page.evaluate(
        """[...document.querySelector("#chart").data].filter((it) => it.meta === "line")
           .map(({ name, y, yaxis, connectgaps }) => ({ name, y, yaxis, connectgaps }))"""
    )


# --- fleet -----------------------------------------------------------------------------------


def test_fleet_shows_nodes_with_state_and_age(page: Page, collector_url: str) -> None:
    visit(page, collector_url)
    expect(page.locator("#nodes tbody tr")).to_have_count(4)
    expect(row(page, "gpu-a01")).to_contain_text(re.compile(r"online.*gpu-a01.*\d\.\d s", re.S))
    expect(row(page, "gpu-b01")).to_contain_text(re.compile(r"offline.*90 min", re.S))
    expect(row(page, "mx-a03").locator(".badge.standin")).to_have_text("stand-in")
    expect(page.locator("#figures")).to_contain_text("3 of 4")
    expect(page).to_have_title("Fleet · xinmai")


def test_trouble_comes_first(page: Page, collector_url: str) -> None:
    visit(page, collector_url)
    expect(page.locator("#nodes tbody tr").first).to_contain_text("gpu-b01")
    page.get_by_role("button", name="Node", exact=True).click()
    expect(page.locator("#nodes tbody tr").first).to_contain_text("gpu-a01")
    expect(page.get_by_role("columnheader", name="Node")).to_have_attribute(
        "aria-sort", "ascending"
    )


def test_map_shows_the_age_of_each_device_by_vendor(page: Page, collector_url: str) -> None:
    visit(page, collector_url)
    metax = page.locator("section.vendor", has_text="MetaX")
    states = metax.locator(".group .cell").evaluate_all("(all) => all.map((it) => it.classList[1])")
    assert states == ["fresh", "fresh", "stale", "silent", "fresh", "absent"]
    expect(metax.locator(".cell.silent")).to_have_attribute("title", re.compile("C500 #3.*13 min"))


def test_fleet_filter(page: Page, collector_url: str) -> None:
    visit(page, collector_url)
    page.get_by_role("searchbox").fill("ascend")
    expect(page.locator("#nodes tbody tr")).to_have_count(1)
    page.get_by_role("searchbox").fill("no such thing")
    expect(page.locator("#empty")).to_have_text("Nothing matches.")
    page.get_by_role("searchbox").fill("")
    expect(page.locator("#nodes tbody tr")).to_have_count(4)


# --- node ------------------------------------------------------------------------------------


def test_node_shows_newest_values_in_humane_units(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/node/row-a/gpu-a01")
    memory = row(page, "hw.gpu.memory.usage").first
    expect(memory).to_contain_text("57.62 GiB")
    expect(row(page, "hw.gpu.utilization").first).to_contain_text(re.compile(r"\d\d\.\d %"))
    expect(row(page, "accel.clock.frequency").first).to_contain_text(re.compile(r"1\.7\d\d GHz"))
    expect(row(page, "accel.throttle.active").first).to_contain_text("0x4")
    expect(memory.get_by_role("link")).to_have_attribute("title", re.compile("nvmlDevice"))
    expect(page.locator("#shown")).to_have_text("48 of 48 series")


def test_counters_show_their_growth(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/node/row-a/gpu-a01")
    expect(row(page, "hw.gpu.io").first).to_contain_text(re.compile(r"[\d.]+ (MiB|GiB)/s"))


def test_reason_stands_where_a_number_would_be(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/node/row-a/gpu-a01")
    denied = row(page, "accel.host.power").locator("td.value")
    expect(denied).to_have_text("no permission")
    hbm = page.locator("tr:has([title='hw.sensor_location=hbm'])").first.locator("td.value")
    expect(hbm).to_have_text("not supported by this device")


def test_stale_reading_is_marked_by_its_own_period(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/node/row-a/gpu-a01")
    expect(row(page, "load_average").locator(".badge.late:visible")).to_have_text("stale")
    expect(row(page, "system.uptime").locator(".badge.late")).to_have_count(0)


def test_series_filter_and_folding(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/node/row-a/gpu-a01")
    expect(page.locator("#shown")).to_have_text("48 of 48 series")
    page.get_by_role("searchbox").fill("temperature #2 core")
    expect(page.locator("#shown")).to_have_text("0 of 48 series")
    page.get_by_role("searchbox").fill("temperature core")
    expect(page.locator("#shown")).to_have_text("4 of 48 series")
    page.get_by_role("searchbox").fill("")
    fold = page.get_by_role("button", name="Linux host")
    fold.click()
    expect(fold).to_have_attribute("aria-expanded", "false")
    expect(row(page, "system.uptime")).to_have_count(0)


def test_hardware_comes_before_what_the_agent_says_of_itself(
    page: Page, collector_url: str
) -> None:
    visit(page, collector_url, "#/node/row-a/gpu-a01")
    headings = page.locator("#list tr.device button")
    expect(headings).to_have_count(6)
    expect(headings.last).to_have_text("the node itself")
    expect(headings.first).to_have_text("Linux host")


def test_selected_series_share_a_chart(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/node/row-a/gpu-a01")
    boxes = row(page, "hw.power").get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("link", name="Chart 2 selected").click()
    assert len(chart_lines(page)) == 2


def test_node_that_is_not_known_says_so(watched: Watched, collector_url: str) -> None:
    watched.outage = True  # 404
    visit(watched.page, collector_url, "#/node/row-a/nobody")
    expect(watched.page.locator("#note")).to_contain_text("no such node")


# --- series ----------------------------------------------------------------------------------


def test_chart_draws_history_and_grows_with_live_rows(page: Page, collector_url: str) -> None:
    visit(page, collector_url, POWER)
    [line] = chart_lines(page)
    assert len(line["y"]) > 200
    last = page.evaluate(f"{LINE}.x.at(-1)")
    until(page, f"{LINE}.x.at(-1) > arg", last)
    expect(page.locator("#status")).to_have_text("live")
    expect(page.locator("#now")).to_contain_text(re.compile(r"\d+(\.\d)? W"))
    expect(page.locator("#chart .ytitle")).to_have_text("W")
    assert page.evaluate("document.querySelector('#chart').data[0].meta") == "band"


def test_gap_is_seen_as_a_gap(page: Page, collector_url: str) -> None:
    visit(page, collector_url, POWER)
    [line] = chart_lines(page)
    assert line["y"].count(None) == 1
    assert line["connectgaps"] is False
    expect(page.locator("#legend tbody tr td").nth(4)).to_have_text("1")


def test_time_axis_is_in_the_browsers_zone(page: Page, collector_url: str) -> None:
    visit(page, collector_url, POWER)
    chart_lines(page)
    behind = page.evaluate(f"Date.now() - new Date({LINE}.x.at(-1).replace(' ', 'T'))")
    assert abs(behind) < 60_000


def test_counter_is_a_rate_unless_asked_raw(page: Page, collector_url: str) -> None:
    visit(page, collector_url, COUNTER)
    [line] = chart_lines(page)
    assert all(value is None or 200 < value < 1200 for value in line["y"])
    expect(page.locator("#chart .ytitle")).to_have_text("MiB/s")
    page.get_by_role("button", name="Raw count").click()
    expect(page.locator("#chart .ytitle")).to_have_text("TiB")
    expect(page.get_by_role("button", name="Raw count")).to_have_attribute("aria-pressed", "true")


def test_windows_are_addresses(page: Page, collector_url: str) -> None:
    visit(page, collector_url, POWER)
    chart_lines(page)
    with page.expect_response("**/api/samples?*points=720") as asked:
        page.get_by_role("link", name="24 h").click()
    assert "span=86400" in page.url
    assert _asked_span_ms(asked.value) == 24 * 3600 * 1000
    [line] = chart_lines(page)
    assert 600 < len(line["y"]) <= 730


def _asked_span_ms(answer: Response) -> int:
    begin, end = re.findall(r"(?:from|to)_ms=(\d+)", answer.url)
    return int(end) - int(begin)


def test_second_unit_has_its_own_axis_and_a_third_is_refused(
    page: Page, collector_url: str
) -> None:
    visit(page, collector_url, POWER)
    chart_lines(page)
    page.get_by_role("button", name="Add series").click()
    page.get_by_role("searchbox").fill("temperature core H100 #0".replace("#0", ""))
    page.get_by_role("button", name=re.compile("^hw.temperature")).first.click()
    until(page, "document.querySelectorAll('#legend tbody tr').length === 2")
    first, second = chart_lines(page)
    assert (first["yaxis"], second["yaxis"]) == ("y", "y2")
    expect(page.locator("#legend .badge")).to_have_text("right axis")
    page.get_by_role("button", name="Add series").click()
    frequency = page.get_by_role("button", name=re.compile("^accel.clock")).first
    expect(frequency).to_be_disabled()
    expect(frequency).to_have_attribute("title", "This chart already has two units.")
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name=re.compile("^Remove hw.temperature")).click()
    expect(page.locator("#legend tbody tr")).to_have_count(1)


def test_native_call_and_refresh_stand_beside_the_chart(page: Page, collector_url: str) -> None:
    visit(page, collector_url, POWER)
    source = page.locator("#source")
    expect(source).to_contain_text("nvmlDeviceGetFieldValues(186)")
    expect(source).to_contain_text("100 ms")
    expect(source).to_contain_text("unknown")


def test_series_without_value_says_why(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/series/102?at=row-a/gpu-a01")
    expect(page.locator("#now .reason")).to_have_text("not supported by this device")
    expect(page.locator("#nodata")).to_have_text("No value in this window.")


def test_series_of_an_unknown_node_is_drawn_without_a_name(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/series/100")
    chart_lines(page)
    expect(page.locator("#trouble")).to_contain_text("does not list series 100")


def test_live_rows_that_stop_leave_the_chart_stale(
    page: Page, fake: FakeCollector, collector_url: str
) -> None:
    visit(page, collector_url, POWER)
    chart_lines(page)
    fake.silent = True
    expect(page.locator("#now .badge.late")).to_have_text("stale", timeout=15_000)


def test_paused_chart_stands_still(page: Page, collector_url: str) -> None:
    visit(page, collector_url, POWER)
    chart_lines(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status")).to_have_text("paused")
    age = page.locator("#now").inner_text()
    expect(page.locator("#now")).not_to_have_text(age)  # the number goes on, the picture does not
    before = page.evaluate(f"{LINE}.x.length")
    age = page.locator("#now").inner_text()
    expect(page.locator("#now")).not_to_have_text(age)
    assert page.evaluate(f"{LINE}.x.length") == before


# --- quality and events ----------------------------------------------------------------------


def test_quality_shows_the_numbers(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/quality")
    lossy = row(page, "npu-a02")
    for text in ("92.9 %", "1,393 /s", "1,500 /s", "5,399,877", "4,096", "123", "40 MiB", "850 ms"):
        expect(lossy).to_contain_text(text)
    expect(lossy).to_contain_text("spool over budget 120")
    expect(lossy).to_contain_text("ring overrun 3")


def test_account_is_told_per_minute(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/quality")
    page.get_by_role("link", name="Account of npu-a02").click()
    expect(page.locator("#account tbody tr")).to_have_count(60)
    expect(page.locator("#account tbody tr").first).to_contain_text("1,500")
    expect(page.locator("#account tbody tr").nth(1)).to_contain_text("closed")
    expect(page.locator("svg.account")).to_have_attribute(
        "aria-label", re.compile(r"Readings per minute.*lost")
    )


def test_events_show_severity_and_action(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/events")
    expect(page.locator("#events tbody tr")).to_have_count(4)
    first = page.locator("#events tbody tr").first
    expect(first).to_contain_text("critical")
    expect(first).to_contain_text("Drain the node, replace card.")
    page.get_by_role("button", name=re.compile("^warning")).click()
    expect(page.locator("#events tbody tr")).to_have_count(1)
    page.get_by_role("button", name=re.compile("^All")).click()


# --- what holds everywhere -------------------------------------------------------------------


@pytest.mark.parametrize("watched", [{}], indirect=True)
def test_no_request_leaves_the_collector(watched: Watched, collector_url: str) -> None:
    page = watched.page
    for address in ("#/", "#/node/row-a/gpu-a01", "#/quality/row-a/npu-a02", "#/events"):
        visit(page, collector_url, address)
        page.wait_for_selector("tbody tr", state="attached")
    assert not any("plotly" in url for url in watched.requests), "only a chart needs it"
    visit(page, collector_url, POWER)
    chart_lines(page)
    assert any(url.endswith("/web/plotly.min.js") for url in watched.requests)
    assert watched.strangers(collector_url) == []


def test_a_view_that_is_left_asks_for_nothing_more(watched: Watched, collector_url: str) -> None:
    page = watched.page
    visit(page, collector_url, "#/node/row-a/gpu-a01")
    page.wait_for_selector("#list tbody tr")
    page.get_by_role("link", name="Events").click()
    page.wait_for_selector("#events tbody tr")
    left = len(watched.requests)
    for _ in range(2):
        with page.expect_response("**/api/fleet", timeout=10_000):
            pass
    assert not any("/api/series" in url for url in watched.requests[left:])


HOSTILE = '<img src=x onerror="window.hacked=1">\'`'


@pytest.fixture
def hostile_url() -> Iterator[str]:
    node = Node(HOSTILE, HOSTILE, lost=1)
    node.devices = [device(HOSTILE, HOSTILE, HOSTILE, 0, parent=HOSTILE, stand_in=True)]
    for at, reason in enumerate((None, HOSTILE)):
        series = Series(str(at), HOSTILE, HOSTILE, HOSTILE, "gauge", lambda t: t % 60)
        series.attributes = {HOSTILE: HOSTILE}
        series.native, series.reason = HOSTILE, reason
        node.series.append(series)
    with FakeCollector([node]) as collector:
        yield collector.url


def test_hostile_names_are_inert(page: Page, hostile_url: str) -> None:
    page.goto(hostile_url)
    page.locator("#nodes tbody th").get_by_role("link").click()
    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.locator("#list")).to_contain_text(HOSTILE)
    page.locator("#list tbody").get_by_role("link").first.click()
    chart_lines(page)
    page.locator("#chart .nsewdrag").hover()
    page.wait_for_selector("#chart .hoverlayer *", state="attached")
    page.get_by_role("button", name="Add series").click()
    expect(page.locator("#found li")).to_have_count(1)
    page.get_by_role("link", name="Data quality").click()
    page.locator("#quality tbody th").get_by_role("link").click()
    page.wait_for_selector("#account tbody tr")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").evaluate_all("(all) => all.map((it) => it.getAttribute('src'))") == [
        "/web/icon.svg"
    ]


@pytest.mark.parametrize("watched", [{}], indirect=True)
def test_chinese_is_a_click_away_and_remembered(page: Page, collector_url: str) -> None:
    visit(page, collector_url)
    page.get_by_role("button", name="切换到中文").click()
    expect(page.get_by_role("link", name="数据质量")).to_be_visible()
    expect(row(page, "gpu-b01")).to_contain_text("离线")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.reload()
    expect(page.get_by_role("link", name="数据质量")).to_be_visible()
    page.get_by_role("button", name="Switch to English").click()
    expect(page.get_by_role("link", name="Data quality")).to_be_visible()


@pytest.mark.parametrize("watched", [{"locale": "zh-CN"}], indirect=True)
def test_browsers_language_is_the_default(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/node/row-a/gpu-a01")
    expect(row(page, "accel.host.power").locator("td.value")).to_have_text("没有权限")


def test_theme_follows_the_system_and_the_button(page: Page, collector_url: str) -> None:
    visit(page, collector_url, POWER)
    chart_lines(page)
    paper = "document.querySelector('#chart').layout.paper_bgcolor"
    assert page.evaluate(paper) == "#ffffff"
    page.emulate_media(color_scheme="dark")
    until(page, f"{paper} === '#161d21'")
    page.get_by_role("button", name="Light or dark").click()
    until(page, f"{paper} === '#ffffff'")
    assert page.evaluate("localStorage.getItem('xinmai.theme')") == "light"
    page.evaluate("localStorage.clear()")
    page.emulate_media(color_scheme="light")


def test_a_series_is_reached_by_keyboard_alone(page: Page, collector_url: str) -> None:
    visit(page, collector_url)
    page.wait_for_selector("#nodes tbody tr")
    page.get_by_role("searchbox").focus()
    focused = "document.activeElement.textContent.trim()"
    _press_until(page, focused, "gpu-a01")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.wait_for_selector("#list tbody tr")
    _press_until(page, focused, "system.uptime")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("system.uptime")
    expect(page.locator("main")).to_be_focused()


def _press_until(page: Page, expression: str, wanted: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(expression) == wanted:
            return
    pytest.fail(f"{wanted} is not reached by the Tab key")


@pytest.mark.parametrize("watched", [{}], indirect=True)
def test_skip_link_leads_to_the_content(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/quality")
    page.wait_for_selector("#quality tbody tr")
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("#/quality")


def test_every_control_has_a_name(page: Page, collector_url: str) -> None:
    nameless = """[...document.querySelectorAll("a, button, input, select")]
      .filter((it) => !(it.textContent.trim() || it.getAttribute("aria-label")))
      .map((it) => it.outerHTML)"""
    for address in PAGES:
        visit(page, collector_url, address)
        page.wait_for_selector("tbody tr", state="attached")
        assert page.evaluate(nameless) == []


def test_an_outage_is_said_and_survived(
    watched: Watched, fake: FakeCollector, collector_url: str
) -> None:
    page, watched.outage = watched.page, True
    visit(page, collector_url, POWER)
    chart_lines(page)
    fake.down = True
    banner = page.locator("#banner")
    expect(banner).to_contain_text("No answer from the collector since", timeout=15_000)
    expect(banner).to_contain_text("the store is closed")
    expect(page.locator("#status")).to_contain_text("live stream lost", timeout=15_000)
    fake.down = False
    expect(page.locator("#status")).to_have_text("live", timeout=20_000)
    expect(banner).to_be_hidden(timeout=15_000)
    last = page.evaluate(f"{LINE}.x.at(-1)")
    until(page, f"{LINE}.x.at(-1) > arg", last)


@pytest.mark.parametrize("watched", [{}], indirect=True)
def test_broker_that_is_away_is_said(page: Page, fake: FakeCollector, collector_url: str) -> None:
    fake.broker_connected = False
    visit(page, collector_url)
    expect(page.locator("#banner")).to_contain_text("no connection to its broker mqtt://")


def test_a_phone_needs_no_sideways_scrolling(page: Page, collector_url: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for address in PAGES:
        visit(page, collector_url, address)
        page.wait_for_selector("tbody tr", state="attached")
        if "series" in address or "capture/" in address:
            chart_lines(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 360, address
    page.set_viewport_size(WIDE)


def test_five_hundred_nodes_stay_usable_and_keep_the_focus(watched: Watched) -> None:
    page = watched.page
    with FakeCollector(large_fleet(500)) as collector:
        page.goto(collector.url)
        expect(page.locator("#nodes tbody tr")).to_have_count(500)
        assert page.locator("#map .group .cell").count() == 4500
        page.evaluate("window.longestTask = 0")
        link = page.get_by_role("link", name="node-123", exact=True).last
        link.focus()
        for _ in range(2):
            with page.expect_response("**/api/fleet", timeout=10_000):
                pass
        assert page.evaluate("document.activeElement.textContent") == "node-123"
        page.get_by_role("searchbox").fill("node-12")
        expect(page.locator("#nodes tbody tr")).to_have_count(10)
        # Two refreshes and a filter; a shared machine gets leeway, a person would notice more.
        assert page.evaluate("longestTask") < 1500


def test_address_of_no_page_leads_back(page: Page, collector_url: str) -> None:
    visit(page, collector_url, "#/no/such/page")
    expect(page.locator("main")).to_contain_text("There is no such page.")
    page.locator("main").get_by_role("link", name="Fleet").click()
    page.wait_for_selector("#nodes tbody tr")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_for_a_person(
    page: Page, collector_url: str, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    for at, address in enumerate(PAGES):
        visit(page, collector_url, address)
        page.wait_for_selector("tbody tr", state="attached")
        if "series" in address or "capture/" in address:
            chart_lines(page)
        picture = tmp_path / f"{at}.png"
        page.screenshot(path=picture)
        assert picture.stat().st_size > 20_000
    page.emulate_media(color_scheme="light")
