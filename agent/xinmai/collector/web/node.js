// SPDX-License-Identifier: Apache-2.0
// One node: its devices and the newest reading of each of their series.

import { getJson, poll } from "./api.js";
import { CaptureCard } from "./capturelist.js";
import { count, quantity, rateOf } from "./format.js";
import { html, paint } from "./html.js";
import { t } from "./i18n.js";
import { body, byMetric, head, nodeColumns, ordered, said } from "./nodeparts.js";
import { failureNote, filterBox, matcher, onRole } from "./parts.js";
import { seriesLink } from "./route.js";

const POLL_MS = 2000;
const OPEN_ALL = 400; // above so many series devices start collapsed, but for the first
const MOST_SELECTED = 8;
const SHOWN_CAPTURES = 5;
const SETTLED_MS = 15000; // a rate over a longer time than this is no news

/** Growth per second between two answers; counters only, none across a reset. */
class Rates {
  #before = new Map();
  #rate = new Map();

  take(list) {
    for (const series of list) {
      if (series.kind !== "counter" || series.newest?.value === null || !series.newest) continue;
      const { time_ms: at, value } = series.newest;
      const before = this.#before.get(series.id);
      if (before && before.at === at) continue;
      const usable = before && value >= before.value && at - before.at < SETTLED_MS;
      if (usable) this.#rate.set(series.id, ((value - before.value) * 1000) / (at - before.at));
      else this.#rate.delete(series.id);
      this.#before.set(series.id, { at, value });
    }
  }

  of(series) {
    const rate = this.#rate.get(series.id);
    return rate === undefined ? null : quantity(rate, rateOf(series));
  }
}

/** The view of `#/node/<edge>/<node>`. */
class NodeView {
  constructor(root, route, app) {
    Object.assign(this, { root, edge: route.edge, name: route.node, app });
    this.filter = "";
    this.series = null;
    this.failed = null;
    this.flipped = new Map(); // hw_id -> open, where a person said so
    this.selected = new Map(); // id -> series
    this.rates = new Rates();
    paint(
      root,
      html`<div id="head"></div>
        <div id="captures"></div>
        <section class="card">
          <header>
            <h2>${t("node.list")}</h2>
            ${filterBox("", t("node.filter"))}
            <span class="muted" id="shown"></span>
            <span class="push"></span>
            <button type="button" data-role="all" data-open="1">${t("node.expand")}</button>
            <button type="button" data-role="all" data-open="">${t("node.collapse")}</button>
            <span id="compare"></span>
          </header>
          <div class="scroll">
            <table class="list series" id="list" aria-label="${t("node.list")}"></table>
          </div>
          <div id="note"></div>
        </section>`,
    );
    onRole(root, {
      "input:filter": (box) => this.#set({ filter: box.value }),
      "click:device": (button) => this.#flip(button.dataset.device),
      "click:all": (button) => this.#flipAll(button.dataset.open === "1"),
      "change:select": (box) => this.#select(box),
    });
    this.onFleet = () => this.#show();
    app.fleet.addEventListener("change", this.onFleet);
    const place = { edge: this.edge, node: this.name };
    this.captures = new CaptureCard(root.querySelector("#captures"), app, place, { limit: SHOWN_CAPTURES });
    this.stop = poll(() => this.#ask(), POLL_MS);
  }

  close() {
    this.closed = true;
    this.stop();
    this.captures.close();
    this.app.fleet.removeEventListener("change", this.onFleet);
  }

  async #ask() {
    try {
      const answer = await getJson("/api/series", { edge: this.edge, node: this.name });
      this.series = answer.series;
      this.rates.take(answer.series);
      this.failed = null;
    } catch (error) {
      this.failed = error;
    }
    this.#show();
  }

  #set(change) {
    Object.assign(this, change);
    this.#show();
  }

  #flip(id) {
    this.flipped.set(id, !this.#isOpen(id));
    this.#show();
  }

  #flipAll(open) {
    for (const { device } of this.#devices()) this.flipped.set(device.hw_id, open);
    this.#show();
  }

  #select(box) {
    const series = this.series.find((it) => it.id === box.dataset.id);
    if (!box.checked) this.selected.delete(box.dataset.id);
    else if (series && this.selected.size < MOST_SELECTED) this.selected.set(series.id, series);
    else box.checked = false;
    this.#show();
  }

  get node() {
    return this.app.fleet.node(this.edge, this.name);
  }

  /** The fleet's devices of this node, and those that only a series names. */
  #devices() {
    const known = this.node?.devices ?? [];
    const ids = new Set(known.map((device) => device.hw_id));
    const named = new Set((this.series ?? []).map((series) => series.hw_id));
    const others = [...named]
      .filter((id) => !ids.has(id))
      .map((id) => ({ hw_id: id, vendor: "", model: "", present: true, index: null }));
    return ordered([...known, ...others]);
  }

  #isOpen(id) {
    const asked = this.flipped.get(id);
    if (asked !== undefined) return asked;
    if (this.filter) return true;
    return (this.series?.length ?? 0) <= OPEN_ALL || this.#devices()[0]?.device.hw_id === id;
  }

  #show() {
    if (this.closed) return;
    const at = (id) => this.root.querySelector(`#${id}`);
    const { fleet } = this.app;
    paint(at("head"), this.node ? head(this.node, fleet) : html`<h1>${this.name}</h1>`);
    const missing = fleet.data && !this.node;
    paint(at("note"), html`${this.#note(missing)}`);
    if (!this.series) return;
    const matches = matcher(this.filter);
    const devices = this.#devices().map((it) => ({
      ...it,
      all: this.series.filter((series) => series.hw_id === it.device.hw_id),
    }));
    let shown = 0;
    const bodies = devices.map(({ device, depth, all }) => {
      const list = all.filter((series) => matches(said(series, device))).sort(byMetric);
      shown += list.length;
      if (!list.length && this.filter) return null;
      const open = this.#isOpen(device.hw_id);
      const rows = open ? list.map((series) => this.#place(series)) : null;
      return body(device, { depth, open, rows, total: all.length, seconds: this.#age(device) });
    });
    paint(at("list"), html`${nodeColumns()}${bodies}`);
    const total = count(this.series.length);
    at("shown").textContent = t("node.shown", { shown: count(shown), total });
    paint(at("compare"), html`${this.#compare()}`);
  }

  #note(missing) {
    if (this.failed && !this.series) return failureNote(this.failed);
    if (missing && !this.series?.length) {
      return html`<p class="empty">${t("node.missing", { node: this.name, edge: this.edge })}</p>`;
    }
    if (!this.series) return html`<p class="empty">${t("app.loading")}</p>`;
    return !this.series.length && html`<p class="empty">${t("node.empty")}</p>`;
  }

  /** Age of a device's newest sample; of its newest series where the fleet does not list it. */
  #age(device) {
    if (device.newest_age_s !== undefined) return this.app.fleet.grown(device.newest_age_s);
    const times = this.series
      .filter((series) => series.hw_id === device.hw_id && series.newest)
      .map((series) => series.newest.time_ms);
    return times.length ? (this.app.fleet.now() - Math.max(...times)) / 1000 : null;
  }

  /** What a row of a series shows. */
  #place(series) {
    const newestMs = series.newest?.time_ms;
    return {
      series,
      link: seriesLink([{ id: series.id, edge: this.edge, node: this.name }]),
      rate: this.rates.of(series),
      seconds: newestMs ? (this.app.fleet.now() - newestMs) / 1000 : null,
    };
  }

  #compare() {
    if (!this.selected.size) return null;
    const places = [...this.selected.keys()].map((id) => ({ id, edge: this.edge, node: this.name }));
    const words = t("node.chart", { count: this.selected.size });
    return html`<a class="button main" href="${seriesLink(places)}">${words}</a>`;
  }
}

export function open(root, route, app) {
  const view = new NodeView(root, route, app);
  return { title: route.node, close: () => view.close() };
}
