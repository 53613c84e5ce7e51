// SPDX-License-Identifier: Apache-2.0
// One node: its devices and the newest reading of each of their series.

import { getJson, poll } from "./api.js";
import { age, byName, bytes, cadence, clockTime, count, quantity, rateOf } from "./format.js";
import { html, paint } from "./html.js";
import { kindText, reasonText, t } from "./i18n.js";
import {
  absentBadge,
  ageMark,
  attributeChips,
  countCell,
  deviceName,
  failureNote,
  filterBox,
  isStale,
  matcher,
  newestCell,
  onRole,
  onlineMark,
  rateCell,
  seriesName,
  standInBadge,
  valueCell,
} from "./parts.js";
import { qualityLink, seriesLink } from "./route.js";

const POLL_MS = 2000;
const OPEN_ALL = 400; // above so many series devices start collapsed, but for the first
const MOST_SELECTED = 8;
const SETTLED_MS = 15000; // a rate over a longer time than this is no news
const COLUMNS = 7;

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

/** Devices with parts behind the device they belong to. */
function ordered(devices) {
  const order = (a, b) =>
    Number(a.hw_id === "") - Number(b.hw_id === "") || // what the agent says of itself comes last
    byName(a.vendor || "~", b.vendor || "~") ||
    (a.index ?? 1e9) - (b.index ?? 1e9) ||
    byName(a.hw_id, b.hw_id);
  const ids = new Set(devices.map((device) => device.hw_id));
  const parts = new Map();
  const tops = [];
  for (const device of devices) {
    if (!device.parent || device.parent === device.hw_id || !ids.has(device.parent)) {
      tops.push(device);
    } else {
      parts.set(device.parent, [...(parts.get(device.parent) ?? []), device]);
    }
  }
  const out = [];
  const add = (device, depth) => {
    if (out.some((it) => it.device === device)) return;
    out.push({ device, depth });
    for (const part of (parts.get(device.hw_id) ?? []).sort(order)) add(part, depth + 1);
  };
  for (const device of tops.sort(order)) add(device, 0);
  for (const device of devices) add(device, 0); // parents in a ring: shown, at the end
  return out;
}

const said = (series, device) =>
  [
    series.metric,
    series.unit,
    series.kind,
    series.plugin,
    series.newest?.reason && `${series.newest.reason} ${reasonText(series.newest.reason)}`,
    ...Object.entries(series.attributes ?? {}).map(([key, value]) => `${key}=${value}`),
    device.hw_id,
    device.model,
    device.vendor,
  ].join(" ");

const byMetric = (a, b) => byName(a.metric, b.metric) || byName(seriesName(a), seriesName(b));

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
<section class="card"><header><h2>${t("node.list")}</h2>${filterBox("", t("node.filter"))}<span class="muted" id="shown"></span>
<span class="push"></span><button type="button" data-role="all" data-open="1">${t("node.expand")}</button><button type="button" data-role="all" data-open="">${t("node.collapse")}</button><span id="compare"></span></header>
<div class="scroll"><table class="list series" id="list" aria-label="${t("node.list")}"></table></div><div id="note"></div></section>`,
    );
    onRole(root, {
      "input:filter": (box) => this.#set({ filter: box.value }),
      "click:device": (button) => this.#flip(button.dataset.device),
      "click:all": (button) => this.#flipAll(button.dataset.open === "1"),
      "change:select": (box) => this.#select(box),
    });
    this.onFleet = () => this.#show();
    app.fleet.addEventListener("change", this.onFleet);
    this.stop = poll(() => this.#ask(), POLL_MS);
  }

  close() {
    this.closed = true;
    this.stop();
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
    const others = [...new Set((this.series ?? []).map((series) => series.hw_id))]
      .filter((id) => !ids.has(id))
      .map((id) => ({ hw_id: id, vendor: "", model: "", present: true, index: null }));
    return ordered([...known, ...others]);
  }

  #isOpen(id) {
    const said_ = this.flipped.get(id);
    if (said_ !== undefined) return said_;
    if (this.filter) return true;
    return (this.series?.length ?? 0) <= OPEN_ALL || this.#devices()[0]?.device.hw_id === id;
  }

  #show() {
    if (this.closed) return;
    const at = (id) => this.root.querySelector(`#${id}`);
    const { fleet } = this.app;
    paint(at("head"), this.node ? this.#head(this.node) : html`<h1>${this.name}</h1>`);
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
      return list.length || !this.filter ? this.#body(device, depth, list, all.length) : null;
    });
    paint(at("list"), html`${this.#columns()}${bodies}`);
    at("shown").textContent = t("node.shown", { shown: count(shown), total: count(this.series.length) });
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

  #head(node) {
    const { quality } = node;
    const seconds = this.app.fleet.grown(node.newest_age_s);
    const lastSeen = node.last_seen_ms === null ? "–" : clockTime(node.last_seen_ms);
    const ago = node.last_seen_ms === null ? "" : age((this.app.fleet.now() - node.last_seen_ms) / 1000);
    return html`<div class="head"><h1>${node.node}</h1>${onlineMark(node)} ${standInBadge(node)}
<span class="muted">${node.edge}</span>
<span class="facts"><span>${t("node.agent")} <b>${node.agent}</b></span><span title="${node.boot}">${t("node.boot")} <b>${String(node.boot).slice(0, 8)}</b></span><span>${t("node.seen")} <b title="${lastSeen}">${t("node.seen.ago", { age: ago })}</b></span></span></div>
<a class="strip" href="${qualityLink(node.edge, node.node)}" title="${t("node.quality")}"><span>${t("col.age")} ${ageMark(seconds)}</span><span>${t("col.rate")} ${rateCell(quality)}</span><span>${t("col.missed")} ${countCell(quality.missed, count(quality.missed))}</span><span>${t("col.lost")} ${countCell(quality.lost, count(quality.lost))}</span><span>${t("col.gaps")} ${countCell(quality.gaps, count(quality.gaps))}</span><span>${t("col.spool")} <span class="num">${bytes(quality.spool_bytes) || "–"}</span></span></a>`;
  }

  /** Age of a device's newest sample; of its newest series where the fleet does not list it. */
  #age(device) {
    if (device.newest_age_s !== undefined) return this.app.fleet.grown(device.newest_age_s);
    const times = this.series
      .filter((series) => series.hw_id === device.hw_id && series.newest)
      .map((series) => series.newest.time_ms);
    return times.length ? (this.app.fleet.now() - Math.max(...times)) / 1000 : null;
  }

  #columns() {
    return html`<thead data-key="h"><tr><th scope="col">${t("col.metric")}</th><th scope="col" class="wide"></th><th scope="col" class="r">${t("col.value")}</th><th scope="col" class="r wide">${t("col.perSecond")}</th><th scope="col" class="r wide">${t("col.sampleAge")}</th><th scope="col" class="r wide">${t("col.cadence")}</th><th scope="col" class="wide">${t("col.kind")}</th></tr></thead>`;
  }

  #body(device, depth, list, total) {
    const id = device.hw_id;
    const open = this.#isOpen(id);
    const seconds = this.#age(device);
    return html`<tbody data-key="d${id}"><tr class="device" data-key="d"><th colspan="${COLUMNS}" scope="rowgroup"><button type="button" class="fold" data-role="device" data-device="${id}" aria-expanded="${String(open)}" style="margin-left:${depth * 18}px"><span class="arrow"></span><b>${deviceName(device)}</b></button> <span class="muted">${device.vendor}</span> ${standInBadge(device)} ${absentBadge(device)}${device.parent && depth > 0 && html` <span class="muted wide">${t("node.parent", { parent: device.parent })}</span>`} <code class="wide">${id}</code><span class="tail"><span class="muted">${t("node.series", { count: count(total) })}</span> ${ageMark(seconds, device.present)}</span></th></tr>${open && list.map((series) => this.#row(series))}</tbody>`;
  }

  #row(series) {
    const { newest } = series;
    const seconds = newest?.time_ms ? (this.app.fleet.now() - newest.time_ms) / 1000 : null;
    const stale = isStale(seconds, series.period_ns);
    const link = seriesLink([{ id: series.id, edge: this.edge, node: this.name }]);
    const box = html`<input type="checkbox" data-role="select" data-id="${series.id}" aria-label="${t("node.select", { series: seriesName(series) })}">`;
    return html`<tr data-key="${series.id}" class="${stale ? "stale" : ""}"><td><div class="metric">${box}<span><a href="${link}" title="${series.native}">${series.metric}</a><span class="narrow"> ${attributeChips(series.attributes)}</span></span></div></td><td class="wide">${attributeChips(series.attributes)}</td><td class="r value">${stale && html`<span class="badge late narrow">${age(seconds)}</span> `}${newestCell(series)}</td><td class="r wide">${valueCell(this.rates.of(series))}</td><td class="r wide">${seconds === null ? "–" : html`<span class="num" ${stale && html`title="${t("state.stale.title")}"`}>${stale && html`<span class="badge late">${t("state.stale")}</span> `}${age(seconds)}</span>`}</td><td class="r wide muted">${cadence(series.period_ns)}</td><td class="wide muted">${kindText(series.kind)}</td></tr>`;
  }

  #compare() {
    if (!this.selected.size) return null;
    const places = [...this.selected.keys()].map((id) => ({ id, edge: this.edge, node: this.name }));
    return html`<a class="button main" href="${seriesLink(places)}">${t("node.chart", { count: this.selected.size })}</a>`;
  }
}

export function open(root, route, app) {
  const view = new NodeView(root, route, app);
  return { title: route.node, close: () => view.close() };
}
