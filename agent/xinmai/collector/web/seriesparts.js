// SPDX-License-Identifier: Apache-2.0
// Markup of the series view around the chart.

import { colourOf } from "./chart.js";
import { age, cadence, joined, nanoseconds, quantity } from "./format.js";
import { html } from "./html.js";
import { kindText, reasonText, t } from "./i18n.js";
import {
  attributeChips,
  columns,
  deviceName,
  isStale,
  newestCell,
  seriesName,
  staleBadge,
  standInBadge,
  valueCell,
} from "./parts.js";
import { nodeLink } from "./route.js";
import { summary } from "./track.js";

/** The places that the other parts are painted into. */
export function frame(all) {
  const [first] = all;
  const label = t("series.chart", { series: all.map(seriesName).join(", ") });
  const nameless = t("series.missing", { id: first.id });
  return html`<div class="head">
      <div class="crumbs" id="crumbs"></div>
      <h1>${first.metric} ${attributeChips(first.attributes)}</h1>
    </div>
    <section class="card chartcard">
      <header>
        <div class="now" id="now"></div>
        <span class="push"></span>
        <div class="bar-tools" id="bar"></div>
      </header>
      <div id="trouble">${!first.listed && html`<p class="empty">${nameless}</p>`}</div>
      <div id="picker" class="picker" hidden></div>
      <div class="plotbox">
        <div id="chart" class="plot" role="img" aria-label="${label}"></div>
        <p class="nodata" id="nodata"></p>
      </div>
      <div class="scroll">
        <table class="list" id="legend" aria-label="${t("series.legend")}"></table>
      </div>
    </section>
    <section class="card">
      <header><h2>${t("series.source")}</h2></header>
      <div class="scroll">
        <table class="list" id="source" aria-label="${t("series.source")}"></table>
      </div>
    </section>`;
}

/** Node and device of the series. */
export const crumbs = (series, device) => html`
  <a href="${nodeLink(series.edge, series.node)}">${series.node}</a>
  ${device &&
  html` / <span title="${series.hw_id}">${deviceName(device)}</span> ${standInBadge(device)}`}`;

const spanLink = (span, link, chosen) =>
  html`<a class="button" href="${link}" ${chosen && html`aria-current="true"`}>
    ${t(`series.span.${span}`)}
  </a>`;

const counterButton = (asRaw, raw) =>
  html`<button type="button" data-role="counter" data-raw="${asRaw && "1"}"
    aria-pressed="${String(asRaw === raw)}">${t(asRaw ? "series.raw" : "series.rate")}</button>`;

/** Window, counters, pause and the panel that adds series. */
export const tools = ({ links, span, raw, paused, counters, picking }) => html`
  <span id="status"></span>
  <div class="buttons" role="group" aria-label="${t("series.span")}">
    ${links.map(([seconds, link]) => spanLink(seconds, link, seconds === span))}
  </div>
  ${counters &&
  html`<div class="buttons" role="group" aria-label="${t("series.counter")}">
    ${counterButton(false, raw)}${counterButton(true, raw)}
  </div>`}
  <button type="button" data-role="pause" aria-pressed="${String(paused)}">
    ${t(paused ? "series.resume" : "series.pause")}
  </button>
  <button type="button" data-role="add" aria-expanded="${String(picking)}" aria-controls="picker">
    ${t(picking ? "series.add.close" : "series.add")}
  </button>`;

/** The newest value, or its growth where `rate` is given, and how old it is. */
export function newestReading(series, rate, seconds) {
  const shown = rate ? valueCell(rate) : newestCell(series);
  const ago = seconds === null ? "" : t("node.seen.ago", { age: age(seconds) });
  const stale = isStale(seconds, series.period_ns);
  return html`<span class="big">${shown}</span>
    <span class="muted">${ago}</span>
    ${stale && staleBadge()}`;
}

const swatch = (index) =>
  html`<i class="swatch" style="background:${colourOf(index)}"></i>`;

const removeButton = (series) =>
  html`<button type="button" class="quietly" data-role="remove" data-id="${series.id}"
    aria-label="${t("series.remove", { series: seriesName(series) })}">×</button>`;

function legendRow({ series, line, second, device, link }, index, all) {
  const { min, mean, max, newest, gaps } = summary(line.points);
  const shown = (number) => joined(quantity(number, line.unit)) || "–";
  const reason = series.newest?.value === null ? series.newest.reason : null;
  const place = series.listed ? `${series.node} · ${deviceName(device ?? series)}` : series.node;
  return html`<tr data-key="${series.id}">
    <th scope="row">
      ${swatch(index)}<a href="${link}">${series.metric}</a> ${attributeChips(series.attributes)}
      ${" "}<span class="muted wide">${place}</span>
      ${second && html` <span class="badge">${t("series.second")}</span>`}
    </th>
    <td class="r num">
      ${reason ? html`<span class="reason">${reasonText(reason)}</span>` : shown(newest)}
    </td>
    <td class="r num">${shown(min)}</td>
    <td class="r num wide">${shown(mean)}</td>
    <td class="r num">${shown(max)}</td>
    <td class="r wide">${gaps}</td>
    <td class="r">${all.length > 1 && removeButton(series)}</td>
  </tr>`;
}

/** The lines of the chart and what they come to in its window. */
export const legend = (rows) => html`${columns(
    ["series.name"],
    ["series.newest", "r"],
    ["series.min", "r"],
    ["series.mean", "r wide"],
    ["series.max", "r"],
    ["series.gaps", "r wide"],
    [""],
  )}
  <tbody>${rows.map(legendRow)}</tbody>`;

function sourceRow(series, index) {
  const known = (ns) => (ns === null ? t("series.unknown") : nanoseconds(ns));
  return html`<tr data-key="${series.id}">
    <th scope="row">${swatch(index)}${seriesName(series)}</th>
    <td><code>${series.native || t("series.unknown")}</code></td>
    <td>${series.plugin}</td>
    <td class="num">${cadence(series.period_ns)}</td>
    <td class="num">${known(series.refresh_ns)}</td>
    <td class="num">${known(series.window_ns)}</td>
    <td>${kindText(series.kind)}</td>
    <td>${series.unit}</td>
  </tr>`;
}

/** Where the numbers come from. */
export const source = (all) => html`${columns(
    ["series.name"],
    ["series.native"],
    ["series.plugin"],
    ["series.period"],
    ["series.refresh"],
    ["series.window"],
    ["series.kind"],
    ["series.unit"],
  )}
  <tbody>${all.map(sourceRow)}</tbody>`;
