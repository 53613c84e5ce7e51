// SPDX-License-Identifier: Apache-2.0
// A live chart of one series, with others of at most two units laid over it.

import { getJson, live } from "./api.js";
import { draw, erase } from "./chart.js";
import { quantity, rateOf, unitOf } from "./format.js";
import { html, paint } from "./html.js";
import { t } from "./i18n.js";
import { failureNote, onRole, seriesName } from "./parts.js";
import { MOST, Picker } from "./picker.js";
import { seriesLink } from "./route.js";
import { crumbs, frame, legend, newestReading, source, tools } from "./seriesparts.js";
import { append, emptyTrack, rates, stepOf, summary, trackOf, trim, withGaps } from "./track.js";

const SPANS = [300, 3600, 86400];
// Buckets of 100 ms, 5 s and 2 min: whole parts or multiples of the cadences that lanes have, so that
// each bucket holds as many rows as the next and a counter's growth does not ripple.
const POINTS = { 300: 3000, 3600: 720, 86400: 720 };
const PAST_MS = 10_000; // so far behind the newest, a row is no straggler
const LATE_MS = 5000; // rows of the past have come: ask for the history again, once for all of them
const REDRAW_MS = 500;
const NARROW_PX = 640;

const nameless = (place) => ({
  ...place,
  hw_id: "",
  metric: `#${place.id}`,
  attributes: {},
  unit: "1",
  kind: "gauge",
  plugin: "",
  native: "",
  refresh_ns: null,
  window_ns: null,
  period_ns: null,
  newest: null,
  listed: false,
});

/** Descriptors of places, asked for node by node; what no node lists stays nameless. */
async function describe(places) {
  const nodes = new Map(places.filter((it) => it.node).map((it) => [`${it.edge}/${it.node}`, it]));
  const lists = new Map();
  await Promise.all(
    [...nodes].map(async ([key, { edge, node }]) => {
      lists.set(key, (await getJson("/api/series", { edge, node })).series);
    }),
  );
  return places.map((place) => {
    const list = lists.get(`${place.edge}/${place.node}`) ?? [];
    const found = list.find((series) => series.id === place.id);
    return found ? { ...found, edge: place.edge, node: place.node, listed: true } : nameless(place);
  });
}

/** Growth per second from one row to the next, null where there is none. */
function growth(before, row) {
  if (!before || before.value === null || row.value === null || row.value < before.value) return null;
  return row.time_ms > before.time_ms
    ? ((row.value - before.value) * 1000) / (row.time_ms - before.time_ms)
    : null;
}

const unitKey = ({ unit, ratio }) => `${unit} ${ratio}`;

class SeriesView {
  constructor(root, route, app) {
    Object.assign(this, { root, app });
    this.places = route.places.slice(0, MOST);
    this.span = SPANS.includes(route.span) ? route.span : SPANS[0];
    this.raw = route.raw;
    this.all = []; // {series, track, newest}
    this.stream = "connecting";
    this.paused = false;
    this.waiting = 0;
    this.opened = 0;
    paint(root, html`<p class="empty">${t("app.loading")}</p>`);
    this.onTheme = () => this.#draw();
    this.onFleet = () => this.#crumbs();
    window.addEventListener("xinmai:theme", this.onTheme);
    app.fleet.addEventListener("change", this.onFleet);
    void this.#start();
  }

  close() {
    this.closed = true;
    clearTimeout(this.waiting);
    clearInterval(this.clock);
    this.hangUp?.();
    this.picker?.close();
    clearTimeout(this.late);
    window.removeEventListener("xinmai:theme", this.onTheme);
    this.app.fleet.removeEventListener("change", this.onFleet);
    const chart = this.root.querySelector("#chart");
    if (chart) erase(chart);
  }

  async #start() {
    try {
      const described = await describe(this.places);
      if (this.closed) return;
      this.all = described.map((series) => ({
        series,
        track: emptyTrack(this.#bucketMs()),
        newest: series.newest,
      }));
      this.#frame();
      this.#listen();
      // The axis moves on when nothing comes: a gap is seen while it grows.
      this.clock = setInterval(() => this.#soon(), this.span > 3600 ? 10_000 : 1_000);
      await this.#history();
    } catch (error) {
      if (!this.closed) this.#fail(error);
    }
  }

  #fail(error) {
    paint(this.root.querySelector("#trouble") ?? this.root, failureNote(error));
  }

  #bucketMs() {
    return (this.span * 1000) / POINTS[this.span];
  }

  #listen() {
    const byId = new Map(this.all.map((one) => [one.series.id, one]));
    this.hangUp = live(
      [...byId.keys()],
      (row) => {
        const one = byId.get(String(row.id));
        if (!one) return;
        if (!one.loaded) one.early.push(row);
        else if (!this.#take(one, row)) this.#again(one, row);
      },
      (state) => this.#streamIs(state),
    );
  }

  #streamIs(state) {
    const again = state === "open" && this.opened > 0;
    if (state === "open") this.opened += 1;
    this.stream = state;
    this.#status();
    // What passed while the stream was away comes out of the history.
    if (again) void this.#history();
  }

  #take(one, row) {
    if (!append(one.track, row, one.series.kind)) return false;
    one.growth = growth(one.newest, row) ?? one.growth;
    one.newest = row;
    this.#soon();
    return true;
  }

  /** A row of the past: a backlog is arriving, and the history has what the gap was. */
  #again(one, row) {
    const inWindow = row.time_ms > this.app.fleet.now() - this.span * 1000;
    if (!inWindow || row.time_ms > one.track.newestMs - PAST_MS) return;
    this.late ??= setTimeout(() => {
      this.late = null;
      void this.#history();
    }, LATE_MS);
  }

  async #history() {
    const to = Math.ceil(this.app.fleet.now());
    for (const one of this.all) Object.assign(one, { loaded: false, early: [] });
    const failures = await Promise.all(this.all.map((one) => this.#load(one, to)));
    if (this.closed) return;
    const [failed] = failures.filter(Boolean);
    if (failed) this.#fail(failed);
    else if (this.all[0].series.listed) this.#paint("trouble", html``);
    this.#source();
    await this.#draw();
  }

  /** History of one series up to `to`, then what came meanwhile. Returns what failed. */
  async #load(one, to) {
    let failed = null;
    const samples = await getJson("/api/samples", {
      id: one.series.id,
      from_ms: to - this.span * 1000,
      to_ms: to,
      points: POINTS[this.span],
    }).catch((error) => {
      failed = error;
    });
    if (samples) {
      if (!one.series.listed) Object.assign(one.series, { unit: samples.unit, kind: samples.kind });
      one.track = trackOf(samples, this.#bucketMs(), to);
    }
    one.loaded = true;
    for (const row of one.early) this.#take(one, row);
    return failed;
  }

  // --- what is shown -------------------------------------------------------------------------

  #lines() {
    return this.all.map(({ series, track }) => {
      const counter = series.kind === "counter";
      const periodMs = Number(series.period_ns ?? 0) / 1e6;
      const points = withGaps(track, stepOf(track, periodMs));
      const asRate = counter && !this.raw;
      const unit = asRate ? rateOf(series) : unitOf(series);
      return {
        name: seriesName(series),
        unit,
        points: asRate ? rates(points, track) : points,
        steps: series.kind === "state" || series.kind === "bitmask",
        fromZero: asRate || unit.ratio,
      };
    });
  }

  #soon() {
    if (this.waiting || this.closed || document.hidden) return;
    this.waiting = setTimeout(() => {
      this.waiting = 0;
      void this.#draw();
    }, REDRAW_MS);
  }

  async #draw() {
    const chart = this.root.querySelector("#chart");
    if (this.closed || !chart || !this.all.every((one) => one.loaded)) return;
    const now = this.app.fleet.now();
    for (const { track } of this.all) trim(track, now - this.span * 1000);
    const lines = this.#lines();
    this.#now(lines);
    this.#legend(lines);
    if (this.paused) return;
    const empty = lines.every((line) => !line.points.y.some((y) => y !== null));
    this.#paint("nodata", html`${empty && t("series.nodata")}`);
    try {
      await draw(chart, lines, {
        fromMs: now - this.span * 1000,
        toMs: now,
        revision: `${this.span}/${this.raw}/${this.all.length}`,
        narrow: chart.clientWidth < NARROW_PX,
      });
    } catch (error) {
      if (!this.closed) this.#fail(error);
    }
  }

  #frame() {
    paint(this.root, frame(this.all.map((one) => one.series)));
    this.#crumbs();
    this.#bar();
    this.#source();
    onRole(this.root, {
      "click:counter": (button) => this.#go(this.places, { raw: button.dataset.raw === "1" }),
      "click:pause": () => this.#pause(),
      "click:remove": (button) => this.#remove(button.dataset.id),
      "click:add": () => this.#pick(),
    });
  }

  /** Paint the part of the frame with this id; nothing while there is no frame. */
  #paint(id, markup) {
    const place = this.root.querySelector(`#${id}`);
    if (place) paint(place, markup);
  }

  #device(series) {
    const node = this.app.fleet.node(series.edge, series.node);
    return node?.devices.find((device) => device.hw_id === series.hw_id) ?? null;
  }

  #link(places, change = {}) {
    return seriesLink(places, { span: this.span, raw: this.raw, ...change });
  }

  #go(places, change = {}) {
    window.location.hash = this.#link(places, change);
  }

  #remove(id) {
    this.#go(this.places.filter((place) => place.id !== id));
  }

  #pick() {
    const box = this.root.querySelector("#picker");
    box.hidden = !box.hidden;
    this.#bar();
    if (box.hidden) {
      this.picker.close();
      return;
    }
    const charted = this.all.map((one) => one.series);
    this.picker = new Picker(box, this.app, charted, (place) => this.#go([...this.places, place]));
  }

  #pause() {
    this.paused = !this.paused;
    this.#bar();
    this.#soon();
  }

  #crumbs() {
    const first = this.all[0]?.series;
    if (first) this.#paint("crumbs", crumbs(first, this.#device(first)));
  }

  #bar() {
    const links = SPANS.map((span) => [span, this.#link(this.places, { span })]);
    const { span, raw, paused } = this;
    const counters = this.all.some((one) => one.series.kind === "counter");
    const picking = !this.root.querySelector("#picker").hidden;
    this.#paint("bar", tools({ links, span, raw, paused, counters, picking }));
    this.#status();
  }

  #status() {
    const streams = { open: "live", lost: "lost" };
    const state = this.paused ? "paused" : (streams[this.stream] ?? "connecting");
    this.#paint("status", html`<span class="stream ${state}">${t(`series.${state}`)}</span>`);
  }

  /** The newest reading, large; a counter's growth where the chart shows growth. */
  #now([line]) {
    const [{ series, newest, growth: grown = null }] = this.all;
    const seconds = newest?.time_ms ? (this.app.fleet.now() - newest.time_ms) / 1000 : null;
    const asRate = series.kind === "counter" && !this.raw && newest?.value !== null;
    const rate = asRate ? quantity(grown ?? summary(line.points).newest, line.unit) : null;
    this.#paint("now", newestReading({ ...series, newest }, rate, seconds));
  }

  #legend(lines) {
    const [first] = lines;
    const rows = this.all.map(({ series, newest }, index) => ({
      series: { ...series, newest },
      line: lines[index],
      second: unitKey(lines[index].unit) !== unitKey(first.unit),
      device: this.#device(series),
      link: this.#link([this.places[index]]),
    }));
    this.#paint("legend", legend(rows));
  }

  #source() {
    this.#paint("source", source(this.all.map((one) => one.series)));
  }
}

/** The view of `#/series/<id>`. */
export function open(root, route, app) {
  const view = new SeriesView(root, route, app);
  return { title: t("series.title"), close: () => view.close() };
}
