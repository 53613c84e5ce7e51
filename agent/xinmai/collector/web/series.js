// SPDX-License-Identifier: Apache-2.0
// A live chart of one series, with others of at most two units laid over it.

import { getJson, live } from "./api.js";
import { colourOf, draw, erase } from "./chart.js";
import { age, cadence, joined, nanoseconds, quantity, rateOf, unitOf } from "./format.js";
import { html, paint } from "./html.js";
import { kindText, reasonText, t } from "./i18n.js";
import {
  attributeChips,
  deviceName,
  failureNote,
  isStale,
  newestCell,
  onRole,
  seriesName,
  standInBadge,
  valueCell,
} from "./parts.js";
import { Picker } from "./picker.js";
import { nodeLink, seriesLink } from "./route.js";
import { append, emptyTrack, rates, stepOf, summary, trackOf, trim, withGaps } from "./track.js";

const SPANS = [300, 3600, 86400];
// Buckets of 100 ms, 5 s and 2 min: whole parts or multiples of the cadences that lanes have, so that
// each bucket holds as many rows as the next and a counter's growth does not ripple.
const POINTS = { 300: 3000, 3600: 720, 86400: 720 };
const PAST_MS = 10_000; // so far behind the newest, a row is no straggler
const LATE_MS = 5000; // rows of the past have come: ask for the history again, once for all of them
const REDRAW_MS = 500;
const NARROW_PX = 640;
export const MOST = 8;

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
    const note = this.root.querySelector("#trouble");
    paint(note ?? this.root, failureNote(error));
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
    else if (this.all[0].series.listed) paint(this.root.querySelector("#trouble"), html``);
    this.#aside();
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
    paint(this.root.querySelector("#nodata"), html`${empty && t("series.nodata")}`);
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
    const first = this.all[0].series;
    paint(
      this.root,
      html`<div class="head"><div class="crumbs" id="crumbs"></div>
<h1>${first.metric} ${attributeChips(first.attributes)}</h1></div>
<section class="card chartcard"><header><div class="now" id="now"></div><span class="push"></span><div class="bar-tools" id="bar"></div></header>
<div id="trouble">${!first.listed && html`<p class="empty">${t("series.missing", { id: first.id })}</p>`}</div>
<div id="picker" class="picker" hidden></div>
<div class="plotbox"><div id="chart" class="plot" role="img" aria-label="${t("series.chart", { series: this.all.map((one) => seriesName(one.series)).join(", ") })}"></div><p class="nodata" id="nodata"></p></div>
<div class="scroll"><table class="list" id="legend" aria-label="${t("series.legend")}"></table></div></section>
<section class="card"><header><h2>${t("series.source")}</h2></header><div class="scroll" id="aside"></div></section>`,
    );
    this.#crumbs();
    this.#bar();
    this.#aside();
    onRole(this.root, {
      "click:counter": (button) => this.#go(this.places, { raw: button.dataset.raw === "1" }),
      "click:pause": () => this.#pause(),
      "click:remove": (button) => this.#remove(button.dataset.id),
      "click:add": () => this.#pick(),
    });
  }

  #crumbs() {
    const place = this.root.querySelector("#crumbs");
    if (!place) return;
    const first = this.all[0].series;
    const device = this.#device(first);
    paint(
      place,
      html`<a href="${nodeLink(first.edge, first.node)}">${first.node}</a>${device && html` <span class="sep">/</span> <span title="${first.hw_id}">${deviceName(device)}</span> ${standInBadge(device)}`}`,
    );
  }

  #device(series) {
    const node = this.app.fleet.node(series.edge, series.node);
    return node?.devices.find((device) => device.hw_id === series.hw_id) ?? null;
  }

  #go(places, change = {}) {
    const options = { span: this.span, raw: this.raw, ...change };
    window.location.hash = seriesLink(places, options);
  }

  #remove(id) {
    this.#go(this.places.filter((place) => place.id !== id));
  }

  #pick() {
    const box = this.root.querySelector("#picker");
    box.hidden = !box.hidden;
    this.#bar();
    if (box.hidden) return this.picker?.close();
    this.picker = new Picker(box, this.app, this.all.map((one) => one.series), (place) =>
      this.#go([...this.places, place]),
    );
    return undefined;
  }

  #pause() {
    this.paused = !this.paused;
    this.#bar();
    this.#status();
    this.#soon();
  }

  #status() {
    const at = this.root.querySelector("#status");
    if (!at) return;
    const state = this.paused ? "paused" : { open: "live", lost: "lost" }[this.stream] ?? "connecting";
    paint(at, html`<span class="stream ${state}">${t(`series.${state}`)}</span>`);
  }

  #bar() {
    const at = this.root.querySelector("#bar");
    const spans = SPANS.map(
      (span) =>
        html`<a class="button" href="${seriesLink(this.places, { span, raw: this.raw })}" ${span === this.span && html`aria-current="true"`}>${t(`series.span.${span}`)}</a>`,
    );
    const counters = this.all.some((one) => one.series.kind === "counter");
    const kinds = [
      ["", "series.rate"],
      ["1", "series.raw"],
    ].map(
      ([raw, words]) =>
        html`<button type="button" data-role="counter" data-raw="${raw}" aria-pressed="${String(this.raw === Boolean(raw))}">${t(words)}</button>`,
    );
    const picking = !this.root.querySelector("#picker").hidden;
    paint(
      at,
      html`<span id="status"></span><div class="buttons" role="group" aria-label="${t("series.span")}">${spans}</div>${counters && html`<div class="buttons" role="group" aria-label="${t("series.counter")}">${kinds}</div>`}<button type="button" data-role="pause" aria-pressed="${String(this.paused)}">${t(this.paused ? "series.resume" : "series.pause")}</button><button type="button" data-role="add" aria-expanded="${String(picking)}" aria-controls="picker">${t(picking ? "series.add.close" : "series.add")}</button>`,
    );
    this.#status();
  }

  /** The newest reading, large; a counter's growth where the chart shows growth. */
  #now(lines) {
    const [{ series, newest, growth: grown = null }] = this.all;
    const [line] = lines;
    const seconds = newest?.time_ms ? (this.app.fleet.now() - newest.time_ms) / 1000 : null;
    const stale = isStale(seconds, series.period_ns);
    const asRate = series.kind === "counter" && !this.raw && newest?.value !== null;
    const rate = asRate ? quantity(grown ?? summary(line.points).newest, line.unit) : null;
    const shown = rate ? valueCell(rate) : newestCell({ ...series, newest });
    paint(
      this.root.querySelector("#now"),
      html`<span class="big">${shown}</span> <span class="muted">${seconds !== null && t("node.seen.ago", { age: age(seconds) })}</span> ${stale && html`<span class="badge late" title="${t("state.stale.title")}">${t("state.stale")}</span>`}`,
    );
  }

  #legend(lines) {
    const firstUnit = lines[0].axis ?? lines[0].unit;
    const value = (number, unit) => joined(quantity(number, unit)) || "–";
    const rows = this.all.map(({ series, newest }, index) => {
      const { unit, points } = lines[index];
      const sums = summary(points);
      const second = unit.unit !== firstUnit.unit || unit.ratio !== firstUnit.ratio;
      const reason = newest && newest.value === null && newest.reason;
      return html`<tr data-key="${series.id}"><th scope="row"><i class="swatch" style="background:${colourOf(index)}"></i><a href="${seriesLink([this.places[index]], { span: this.span, raw: this.raw })}">${series.metric}</a> ${attributeChips(series.attributes)} <span class="muted wide">${[series.node, series.listed && deviceName(this.#device(series) ?? series)].filter(Boolean).join(" · ")}</span>${second && html` <span class="badge">${t("series.second")}</span>`}</th>
<td class="r num">${reason ? html`<span class="reason">${reasonText(reason)}</span>` : value(sums.newest, unit)}</td><td class="r num">${value(sums.min, unit)}</td><td class="r num wide">${value(sums.mean, unit)}</td><td class="r num">${value(sums.max, unit)}</td><td class="r wide">${sums.gaps}</td>
<td class="r">${this.all.length > 1 && html`<button type="button" class="quietly" data-role="remove" data-id="${series.id}" aria-label="${t("series.remove", { series: seriesName(series) })}">×</button>`}</td></tr>`;
    });
    paint(
      this.root.querySelector("#legend"),
      html`<thead><tr><th scope="col">${t("series.name")}</th><th scope="col" class="r">${t("series.newest")}</th><th scope="col" class="r">${t("series.min")}</th><th scope="col" class="r wide">${t("series.mean")}</th><th scope="col" class="r">${t("series.max")}</th><th scope="col" class="r wide">${t("series.gaps")}</th><td></td></tr></thead><tbody>${rows}</tbody>`,
    );
  }

  /** Where the numbers come from. */
  #aside() {
    const unknown = t("series.unknown");
    const rows = this.all.map(
      ({ series }, index) =>
        html`<tr data-key="${series.id}"><th scope="row"><i class="swatch" style="background:${colourOf(index)}"></i>${seriesName(series)}</th><td><code>${series.native || unknown}</code></td><td>${series.plugin}</td><td class="num">${cadence(series.period_ns)}</td><td class="num">${series.refresh_ns === null ? unknown : nanoseconds(series.refresh_ns)}</td><td class="num">${series.window_ns === null ? unknown : nanoseconds(series.window_ns)}</td><td>${kindText(series.kind)}</td><td>${series.unit}</td></tr>`,
    );
    paint(
      this.root.querySelector("#aside"),
      html`<table class="list" aria-label="${t("series.source")}"><thead><tr><th scope="col">${t("series.name")}</th><th scope="col">${t("series.native")}</th><th scope="col">${t("series.plugin")}</th><th scope="col">${t("series.period")}</th><th scope="col">${t("series.refresh")}</th><th scope="col">${t("series.window")}</th><th scope="col">${t("series.kind")}</th><th scope="col">${t("series.unit")}</th></tr></thead><tbody>${rows}</tbody></table>`,
    );
  }
}

/** The view of `#/series/<id>`. */
export function open(root, route, app) {
  const view = new SeriesView(root, route, app);
  return { title: t("series.title"), close: () => view.close() };
}
