// SPDX-License-Identifier: Apache-2.0
// One capture: which series it holds, and the chosen ones at full rate.

import { getJson } from "./api.js";
import { counterButtons, exactTime, facts, frame, seriesColumns, seriesRow } from "./captureparts.js";
import { erase } from "./chart.js";
import { byName, count, msOfNs, rateOf, unitOf } from "./format.js";
import { html, paint } from "./html.js";
import { t } from "./i18n.js";
import { failureNote, matcher, onRole, seriesName } from "./parts.js";
import { growth, traceOf } from "./trace.js";
import { drawTraces, onZoom } from "./tracechart.js";

const MOST = 8;
const MOST_UNITS = 2;
const FIRST = 4; // chosen by itself when the capture is opened
const ROWS = 200;
const NARROW_PX = 640;
const AGAIN_MS = 1500;
const YOUNG_MS = 120_000;

class CaptureView {
  constructor(root, route, app) {
    Object.assign(this, { root, app, route, raw: false, filter: "" });
    this.chosen = []; // ids in the order of their colours
    this.traces = new Map();
    this.missing = new Map(); // id -> reasons of readings without a value
    this.path = `/api/captures/${encodeURIComponent(route.id)}`;
    this.place = { edge: route.edge, node: route.node };
    paint(root, html`<p class="empty">${t("app.loading")}</p>`);
    this.onTheme = () => void this.#draw();
    window.addEventListener("xinmai:theme", this.onTheme);
    void this.#start();
  }

  close() {
    this.closed = true;
    clearTimeout(this.again);
    cancelAnimationFrame(this.waiting);
    window.removeEventListener("xinmai:theme", this.onTheme);
    const chart = this.root.querySelector("#chart");
    if (chart) erase(chart);
  }

  async #start() {
    try {
      await this.#load();
      if (this.closed) return;
      this.#frame();
      this.chosen = this.#firstChosen();
      this.#show();
      await this.#fetch();
    } catch (error) {
      if (!this.closed) paint(this.root, failureNote(error));
    }
  }

  async #load() {
    const answer = await getJson(this.path, this.place);
    this.capture = answer.capture;
    this.series = answer.series.sort(
      (a, b) => byName(a.hw_id, b.hw_id) || byName(seriesName(a), seriesName(b)),
    );
    // What is still arriving is asked for until its last part is there, or nothing has come for long.
    const young = this.app.fleet.now() - msOfNs(this.capture.to_ns) < YOUNG_MS;
    if (!this.capture.complete && young && !this.closed) {
      this.again = setTimeout(() => this.#more(), AGAIN_MS);
    }
  }

  async #more() {
    const before = this.capture.readings;
    try {
      await this.#load();
      if (this.closed || this.capture.readings === before) return;
      this.traces.clear();
      this.#show();
      await this.#fetch();
    } catch (error) {
      this.#trouble(error);
    }
  }

  /** The series of the trigger's metric and device, else the first ones of one unit. */
  #firstChosen() {
    const { hw_id: device, metric } = this.capture;
    const score = (it) =>
      2 * Number(it.metric === metric) + Number(it.hw_id === device) - 4 * Number(!it.values);
    const order = [...this.series].sort((a, b) => score(b) - score(a));
    const unit = order[0] && this.#unitKey(order[0]);
    return order
      .filter((it) => this.#unitKey(it) === unit)
      .slice(0, FIRST)
      .map((it) => it.id);
  }

  #unitKey(series) {
    const { unit, ratio } = unitOf(series);
    return `${unit} ${ratio} ${series.kind === "counter"}`;
  }

  #at(id) {
    return this.series.find((series) => series.id === id);
  }

  #file(format) {
    return `${this.path}/file?${new URLSearchParams({ ...this.place, format })}`;
  }

  #frame() {
    paint(this.root, frame(this.capture, (kind) => this.#file(kind)));
    onRole(this.root, {
      "input:filter": (box) => {
        this.filter = box.value;
        this.#show();
      },
      "change:select": (box) => this.#choose(box),
      "click:counter": (button) => {
        this.raw = button.dataset.raw === "1";
        this.#show();
        void this.#draw();
      },
    });
  }

  #choose(box) {
    const { id } = box.dataset;
    if (!box.checked) this.chosen = this.chosen.filter((it) => it !== id);
    else if (!this.#refusal(this.#at(id))) this.chosen.push(id);
    else box.checked = false;
    this.#show();
    void this.#fetch();
  }

  /** Why a series cannot be added to the chart, "" where it can. */
  #refusal(series) {
    if (this.chosen.length >= MOST) return t("series.add.full");
    const units = new Set([...this.chosen.map((id) => this.#unitKey(this.#at(id))), this.#unitKey(series)]);
    return units.size > MOST_UNITS ? t("series.add.unit") : "";
  }

  async #fetch() {
    const wanted = this.chosen.filter((id) => !this.traces.has(id));
    try {
      if (wanted.length) {
        const query = { ...this.place, series: wanted.join(",") };
        const answer = await getJson(`${this.path}/samples`, query);
        for (const samples of answer.series) {
          this.traces.set(samples.id, traceOf(samples));
          this.missing.set(samples.id, samples.missing);
        }
      }
      this.#show();
      await this.#draw();
    } catch (error) {
      this.#trouble(error);
    }
  }

  #trouble(error) {
    const place = this.root.querySelector("#trouble");
    if (place && !this.closed) paint(place, failureNote(error));
  }

  // --- what is shown -------------------------------------------------------------------------

  #lines() {
    return this.chosen
      .filter((id) => this.traces.has(id))
      .map((id) => {
        const series = this.#at(id);
        const asRate = series.kind === "counter" && !this.raw;
        const trace = this.traces.get(id);
        const unit = asRate ? rateOf(series) : unitOf(series);
        return {
          name: seriesName(series),
          unit,
          trace: asRate ? growth(trace) : trace,
          steps: series.kind === "state" || series.kind === "bitmask",
          fromZero: asRate || unit.ratio,
        };
      });
  }

  async #draw() {
    const chart = this.root.querySelector("#chart");
    if (this.closed || !chart) return;
    const lines = this.#lines();
    const empty = lines.every((line) => !line.trace.v.some((value) => value !== null));
    paint(this.root.querySelector("#nodata"), html`${empty && t("series.nodata")}`);
    const at = BigInt(this.capture.at_ns);
    const whole = [this.capture.from_ns, this.capture.to_ns].map((ns) => Number(BigInt(ns) - at) / 1e9);
    await drawTraces(chart, lines, {
      whole,
      axis: t("capture.axis", { time: exactTime(this.capture.at_ns) }),
      mark: t("capture.mark"),
      narrow: chart.clientWidth < NARROW_PX,
    });
    if (this.zooms || this.closed) return;
    this.zooms = true;
    onZoom(chart, () => {
      cancelAnimationFrame(this.waiting);
      this.waiting = requestAnimationFrame(() => void this.#draw());
    });
  }

  #show() {
    if (this.closed) return;
    const at = (id) => this.root.querySelector(`#${id}`);
    paint(at("facts"), facts(this.capture));
    const counters = this.chosen.some((id) => this.#at(id).kind === "counter");
    paint(at("counters"), html`${counters && counterButtons(this.raw)}`);
    const matches = matcher(this.filter);
    const list = this.series.filter((it) => matches(`${seriesName(it)} ${it.hw_id} ${it.unit}`));
    const rows = list.slice(0, ROWS).map((series) => this.#row(series));
    paint(at("legend"), html`${seriesColumns()}<tbody>${rows}</tbody>`);
    const more = list.length - ROWS;
    const total = t("node.shown", { shown: count(list.length), total: count(this.series.length) });
    at("shown").textContent = more > 0 ? t("series.add.more", { count: more }) : total;
  }


  #row(series) {
    const index = this.chosen.indexOf(series.id);
    const why = index < 0 ? this.#refusal(series) : "";
    return seriesRow(series, { index, why, missing: this.missing.get(series.id) ?? [] });
  }
}

/** The view of `#/capture/<edge>/<node>/<id>`. */
export function open(root, route, app) {
  const view = new CaptureView(root, route, app);
  return { title: t("capture.of", { node: route.node }), close: () => view.close() };
}
