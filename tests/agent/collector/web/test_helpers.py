"""The page's functions by themselves, in the browser that runs them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from fakes.fakecollector import FakeCollector

pytestmark = pytest.mark.browser
Call = Callable[..., Any]

W = {"unit": "W", "ratio": False}
BY = {"unit": "By", "ratio": False}
RATIO = {"unit": "1", "ratio": True}
S = {"unit": "s", "ratio": False}
PACKETS = {"unit": "{packet}", "ratio": False}


@pytest.fixture(scope="module")
def page(browser: Browser, fake: FakeCollector) -> Iterator[Page]:
    made = browser.new_page(locale="en-US")
    made.goto(fake.url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def call(page: Page) -> Call:
    """Calls a function of one of the page's modules: `call("format", "age", 3)`."""

    def run(module: str, name: str, *arguments: Any) -> Any:
        program = "async ([module, name, args]) => (await import(module))[name](...args)"
        return page.evaluate(program, [f"/web/{module}.js", name, list(arguments)])

    return run


def test_quantities_are_in_humane_units(call: Call) -> None:
    cases: list[tuple[float, dict[str, Any], str]] = [
        (0, W, "0 W"),
        (0.0123, W, "12.30 mW"),
        (412, W, "412 W"),
        (412.34, W, "412.3 W"),
        (10600, W, "10.60 kW"),
        (0, BY, "0 B"),
        (1023, BY, "1,023 B"),
        (1536, BY, "1.500 KiB"),
        (61_865_984_000, BY, "57.62 GiB"),
        (5e6, {"unit": "By/s", "ratio": False}, "4.768 MiB/s"),
        (1.755e9, {"unit": "Hz", "ratio": False}, "1.755 GHz"),
        (63, {"unit": "Cel", "ratio": False}, "63 °C"),
        (-4.5, {"unit": "Cel", "ratio": False}, "-4.500 °C"),
        (0.8125, RATIO, "81.3 %"),
        (0, RATIO, "0 %"),
        (0.000539, RATIO, "0.054 %"),
        (1, RATIO, "100.0 %"),
        (0.000123, S, "123.0 µs"),
        (266_584, S, "3 d 02:03:04"),
        (12_345, PACKETS, "12,345 packet"),
        (123_456_789, PACKETS, "123.5M packet"),
        (2.5, {"unit": "1", "ratio": False}, "2.500"),
    ]
    for value, unit, shown in cases:
        quantity = call("format", "quantity", value, unit)
        assert f"{quantity['text']} {quantity['unit']}".strip() == shown


def test_no_value_is_no_number(call: Call) -> None:
    assert call("format", "quantity", None, W) is None
    assert call("format", "reading", None, {"kind": "gauge", "unit": "W", "metric": "m"}) is None
    assert call("format", "age", None) == "–"
    assert call("format", "percent", None) == "–"
    assert call("format", "share", 1, 0) is None


def test_only_shares_become_percent(call: Call) -> None:
    def ratio(metric: str, kind: str = "gauge", unit: str = "1") -> Any:
        return call("format", "isRatio", {"metric": metric, "kind": kind, "unit": unit})

    assert ratio("hw.gpu.utilization")
    assert ratio("accel.engine.activity")
    assert ratio("hw.fan.speed_ratio")
    assert not ratio("system.cpu.load_average.1m")
    assert not ratio("accel.pcie.width")
    assert not ratio("hw.network.up", "state")


def test_counters_grow_in_their_own_units(call: Call) -> None:
    units = {"By": "By/s", "J": "W", "{error}": "{error}/s", "1": "1/s"}
    for unit, rate in units.items():
        assert call("format", "rateOf", {"unit": unit}) == {"unit": rate, "ratio": False}
    assert call("format", "rateOf", {"unit": "s"}) == {"unit": "1", "ratio": True}


def test_ages_and_cadences(call: Call) -> None:
    ages = {0.44: "0.4 s", 9.96: "10 s", 119: "119 s", 600: "10 min", 7200: "2 h", 432000: "5 d"}
    for seconds, shown in ages.items():
        assert call("format", "age", seconds) == shown
    assert call("format", "age", -3) == "0.0 s"
    cadences = {100_000_000: "10 Hz", 1_000_000_000: "1 Hz", 60_000_000_000: "60 s", None: "–"}
    for period, shown in cadences.items():
        assert call("format", "cadence", period) == shown


def test_almost_all_is_not_all(call: Call) -> None:
    assert call("format", "percent", 99.99) == "99.9 %"
    assert call("format", "percent", 100) == "100 %"


def test_times_survive_the_size_of_nanoseconds(call: Call) -> None:
    assert call("format", "msOfNs", "1771234567891234567") == 1771234567891
    assert call("format", "msOfMinute", 29_520_576) == 1_771_234_560_000
    assert call("format", "msOfMinute", "2026-02-16T09:36:00Z") == 1_771_234_560_000


def test_both_languages_have_the_same_keys_and_gaps(page: Page, call: Call) -> None:
    words = page.evaluate("async () => (await import('/web/i18n.js')).CATALOGUE")
    assert sorted(words) == ["en", "zh"]
    assert sorted(words["en"]) == sorted(words["zh"])
    holes = "([a, b]) => [a, b].map((it) => (it.match(/\\{\\w+\\}/g) ?? []).sort().join())"
    for key, english in words["en"].items():
        one, other = page.evaluate(holes, [english, words["zh"][key]])
        assert one == other, key
        assert words["zh"][key], key


def test_reasons_are_said_and_unknown_ones_shown_as_they_came(call: Call) -> None:
    assert call("i18n", "reasonText", "no_permission") == "no permission"
    assert call("i18n", "reasonText", "vendor_error(17)") == "vendor error (17)"
    assert call("i18n", "reasonText", "out_of_coffee") == "out_of_coffee"


def test_addresses_round_trip(call: Call) -> None:
    places = [
        {"id": "1", "edge": "row/a", "node": "n%,@?&=#"},
        {"id": "22", "edge": "row b", "node": "芯"},
    ]
    link = call("route", "seriesLink", places, {"span": 3600, "raw": True})
    assert call("route", "parse", link) == {
        "name": "series",
        "places": places,
        "span": 3600,
        "raw": True,
    }
    node = call("route", "nodeLink", "a/b", "c?d")
    assert call("route", "parse", node) == {"name": "node", "edge": "a/b", "node": "c?d"}
    assert call("route", "parse", "#/no/such/page") is None
    assert call("route", "parse", "") == {"name": "fleet"}


def _track(*values: tuple[int, float | None], bucket_ms: int = 100) -> dict[str, Any]:
    numbers = [value for _, value in values]
    return {
        "bucketMs": bucket_ms,
        "newestMs": -1,
        "t": [time for time, _ in values],
        "v": numbers,
        "lo": numbers,
        "hi": numbers,
        "n": [0 if value is None else 1 for value in numbers],
    }


def test_empty_buckets_between_rows_are_no_gap(call: Call) -> None:
    track = _track((0, 1.0), (500, None), (1000, 2.0), (1500, None), (2000, 3.0))
    points = call("track", "withGaps", track, 1000)
    assert points["y"] == [1, 2, 3]
    assert points["gaps"] == 0


def test_a_row_that_is_not_there_is_a_gap(call: Call) -> None:
    points = call("track", "withGaps", _track((0, 1.0), (1000, 2.0), (3000, 3.0)), 1000)
    assert points["y"] == [1, 2, None, 3]
    assert points["gaps"] == 1


def test_a_row_with_a_reason_is_a_gap_however_short(call: Call) -> None:
    track = _track((0, 1.0), (1000, None), (1100, 2.0))
    track["n"][1] = 10
    assert call("track", "withGaps", track, 1000)["y"] == [1, None, 2]


def test_step_follows_a_lane_that_has_slowed_but_not_a_gap(call: Call) -> None:
    slow = _track(*((at * 4000, 1.0) for at in range(9)))
    assert call("track", "stepOf", slow, 1000) == 4000
    gappy = _track(*((at * 1000 + (60_000 if at > 4 else 0), 1.0) for at in range(9)))
    assert call("track", "stepOf", gappy, 1000) == 1000


def test_counter_rate_has_no_value_at_a_reset(call: Call) -> None:
    track = _track((0, 10.0), (1000, 30.0), (2000, 5.0), (3000, 25.0))
    points = call("track", "withGaps", track, 1000)
    rates = call("track", "rates", points, track)
    assert rates["y"] == [20, None, 20]
    assert rates["gaps"] == 1


def test_counter_rate_does_not_bridge_a_gap(call: Call) -> None:
    track = _track((0, 0.0), (1000, 10.0), (9000, 90.0), (10_000, 100.0))
    points = call("track", "withGaps", track, 1000)
    assert call("track", "rates", points, track)["y"] == [10, None, 10]


def test_live_rows_join_wide_buckets_and_repeats_are_dropped(page: Page, call: Call) -> None:
    track = page.evaluate(
        """async () => {
          const { append, trackOf } = await import("/web/track.js");
          const [t_ms, value, count] = [[0, 60000], [1, 4], [60, 2]];
          const samples = { t_ms, value, min: value, max: value, count };
          const track = trackOf(samples, 60000, 62000);
          const row = (time_ms, value) =>
            ({ time_ms, value, min: value - 1, max: value + 1, count: 1 });
          const kept = [row(61000, 99), row(63000, 10), row(63000, 10), row(125000, 7)].map(
            (it) => append(track, it, "gauge"));
          return { ...track, kept };
        }"""
    )
    assert track["kept"] == [False, True, False, True]
    assert track["t"] == [0, 60_000, 120_000]
    assert track["v"] == [1, 6, 7]
    assert (track["lo"][1], track["hi"][1]) == (4, 11)


def test_band_is_one_closed_outline_per_stretch(call: Call) -> None:
    points = {"t": [0, 1, 2, 3], "y": [5, 5, None, 5], "lo": [4, 4, None, 4], "hi": [6, 6, None, 6]}
    outline = call("track", "band", points)
    assert outline == {"x": [0, 1, 1, 0, None, 3, 3], "y": [6, 6, 4, 4, None, 6, 4]}


def test_points_between_gaps_are_known_as_lonely(call: Call) -> None:
    assert call("track", "lonely", {"t": [0, 1, 2, 3], "y": [1, None, 2, 3]}) == [0]


def test_templates_escape_and_paint_refuses_strings(page: Page, call: Call) -> None:
    text = page.evaluate(
        """async (hostile) => {
          const { html, paint } = await import("/web/html.js");
          const box = document.body.appendChild(document.createElement("div"));
          paint(box, html`<p title="${hostile}">${[hostile, html`<b>${hostile}</b>`]}</p>`);
          let refused = false;
          try { paint(box, hostile); } catch { refused = true; }
          return [box.querySelectorAll("*").length, box.textContent, box.firstChild.title, refused];
        }""",
        "<img src=x onerror=alert(1)>\"'`",
    )
    hostile = "<img src=x onerror=alert(1)>\"'`"
    assert text == [2, hostile * 2, hostile, True]


def test_repainting_keeps_focus_on_the_same_row(page: Page, call: Call) -> None:
    focused = page.evaluate(
        """async () => {
          const { html, paint } = await import("/web/html.js");
          const box = document.body.appendChild(document.createElement("ul"));
          const show = (names) => paint(box, html`${names.map(
            (name) => html`<li data-key="${name}"><a href="#${name}">${name}</a></li>`)}`);
          show(["a", "b", "c", "d"]);
          box.children[2].firstChild.focus();
          const seen = [];
          for (const names of [["b", "c", "d"], ["c", "b"], ["x", "y", "c"], ["y", "c", "z"]]) {
            show(names);
            seen.push([document.activeElement.textContent, box.textContent]);
          }
          return seen;
        }"""
    )
    assert focused == [["c", "bcd"], ["c", "cb"], ["c", "xyc"], ["c", "ycz"]]


def test_ages_go_on_when_answers_stop(page: Page, call: Call) -> None:
    ages = page.evaluate(
        """async () => {
          const { Fleet } = await import("/web/api.js");
          const fleet = new Fleet();
          fleet.skewMs = 3600_000; // the collector's clock is an hour ahead of this one
          fleet.data = { now_ms: Date.now() + fleet.skewMs - 30_000 };
          return [fleet.grown(2), fleet.grown(null)];
        }"""
    )
    assert ages == [pytest.approx(32, abs=1), None]


def test_a_trace_of_few_points_stays_as_it_is(call: Call) -> None:
    samples = {"t_ns": [0, 1_000_000, 2_000_000], "value": [1, None, 3]}
    trace = call("trace", "traceOf", samples)
    assert trace == {"t": [0, 0.001, 0.002], "v": [1, None, 3]}
    assert call("trace", "decimate", trace, -1, 1, 100) == trace


def test_rows_that_are_not_there_break_a_trace(call: Call) -> None:
    samples = {"t_ns": [at * 1_000_000 for at in (0, 1, 2, 6, 7, 8)], "value": [1] * 6}
    assert call("trace", "traceOf", samples)["v"] == [1, 1, 1, None, 1, 1, 1]


def test_decimation_keeps_extremes_gaps_and_ends(call: Call) -> None:
    values: list[float | None] = [at % 10 for at in range(100_000)]
    values[31_415], values[27_182], values[77_777] = 500.0, -500.0, None
    trace = {"t": list(range(100_000)), "v": values}
    drawn = call("trace", "decimate", trace, 0, 99_999, 200)
    assert len(drawn["t"]) <= 5 * 200
    assert drawn["t"] == sorted(drawn["t"])
    held = dict(zip(drawn["t"], drawn["v"], strict=True))
    assert (held[31_415], held[27_182], held[77_777]) == (500, -500, None)
    assert (held[0], held[99_999]) == (0, 9)
    assert all(held[at] == values[at] for at in held)


def test_growth_has_a_gap_at_a_reset(call: Call) -> None:
    trace = {"t": [0, 1, 2, 3], "v": [10, 30, 5, None]}
    assert call("trace", "growth", trace) == {"t": [1, 2, 3], "v": [20, None, None]}


def test_a_capture_has_an_address(call: Call) -> None:
    link = call("route", "captureLink", {"edge": "a/b", "node": "c d", "id": "c0ffee"})
    assert call("route", "parse", link) == {
        "name": "capture",
        "edge": "a/b",
        "node": "c d",
        "id": "c0ffee",
    }
    assert call("route", "parse", "#/captures") == {"name": "captures"}
