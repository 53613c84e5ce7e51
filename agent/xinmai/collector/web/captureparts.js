// SPDX-License-Identifier: Apache-2.0
// Markup of the view of one capture around its chart.

import { lengthCell } from "./capturelist.js";
import { colourOf } from "./chart.js";
import { bytes, count, dateTime, joined, msOfNs, quantity, reading, unitOf } from "./format.js";
import { html } from "./html.js";
import { reasonText, t, triggerText } from "./i18n.js";
import { attributeChips, columns, filterBox, perSecond, seriesName, standInBadge } from "./parts.js";
import { capturesLink, nodeLink } from "./route.js";

const micros = (ns) => String(ns).padStart(9, "0").slice(0, 6);

/** A wall time to the microsecond. */
export const exactTime = (ns) => `${dateTime(msOfNs(ns))}.${micros(BigInt(ns) % 1000000000n)}`;

const download = (kind, fileOf) =>
  html`<a class="button" download href="${fileOf(kind)}">${kind}</a>`;

/** The places that the other parts are painted into; `fileOf` gives the address of a format. */
export function frame(capture, fileOf) {
  const heading = t("capture.of", { node: capture.node });
  return html`<div class="head">
      <div class="crumbs">
        <a href="${capturesLink()}">${t("capture.list")}</a> /
        <a href="${nodeLink(capture.edge, capture.node)}">${capture.node}</a>
      </div>
      <h1>${heading} · ${dateTime(msOfNs(capture.at_ns))}</h1>
      ${standInBadge(capture)}
    </div>
    <div id="facts" class="strip"></div>
    <section class="card chartcard">
      <header>
        <span class="muted">${t("capture.zoom")}</span>
        <span class="push"></span>
        <div class="bar-tools"><span id="counters"></span>
          <span class="muted">${t("capture.download")}</span>
          <span class="buttons">${download("parquet", fileOf)}${download("csv", fileOf)}</span>
        </div>
      </header>
      <div id="trouble"></div>
      <div class="plotbox">
        <div id="chart" class="plot" role="img" aria-label="${heading}"></div>
        <p class="nodata" id="nodata"></p>
      </div>
    </section>
    <section class="card">
      <header>
        <h2>${t("capture.series")}</h2>
        ${filterBox("", t("series.add.filter"))}
        <span class="muted" id="shown"></span>
      </header>
      <div class="scroll">
        <table class="list" id="legend" aria-label="${t("capture.series")}"></table>
      </div>
    </section>`;
}

/** Why and when it was made, how long it is, what is not in it. */
export function facts(capture) {
  const fact = (words, value) => html`<span>${words} <b class="num">${value}</b></span>`;
  return html`<span>${t("capture.trigger")} <b>${triggerText(capture.trigger)}</b></span>
    <span class="message">${capture.cause}</span>
    ${fact(t("capture.at"), exactTime(capture.at_ns))}
    ${fact(t("capture.length"), lengthCell(capture))}
    ${fact(t("capture.readings"), count(capture.readings))}
    ${capture.merged > 0 && fact(t("capture.merged"), count(capture.merged))}
    ${capture.missed > 0 && fact(t("col.missed"), count(capture.missed))}
    ${capture.overrun > 0 && fact(t("reason.ring_overrun"), count(capture.overrun))}
    ${fact(t("capture.bytes"), bytes(capture.bytes))}`;
}

/** Counters as growth or as they are. */
export function counterButtons(raw) {
  const button = (asRaw) => html`<button type="button" data-role="counter" data-raw="${asRaw && "1"}"
    aria-pressed="${String(asRaw === raw)}">${t(asRaw ? "series.raw" : "series.rate")}</button>`;
  return html`<span class="buttons" role="group" aria-label="${t("series.counter")}">
    ${button(false)}${button(true)}
  </span>`;
}

export const seriesColumns = () =>
  columns(
    ["series.name"],
    ["common.device", "wide"],
    ["series.min", "r"],
    ["series.mean", "r wide"],
    ["series.max", "r"],
    ["capture.readings", "r wide"],
    ["capture.rate", "r wide"],
  );

/** How many readings have no value, and why where that is known. */
function withoutValue(number, missing) {
  const reasons = new Set(missing.map(([, text]) => reasonText(text)));
  const why = reasons.size ? `: ${[...reasons].join(", ")}` : "";
  return t("capture.without", { count: count(number) }) + why;
}

/** A series: `index` of its colour, -1 where it is not drawn; `why` it cannot be. */
export function seriesRow(series, { index, why, missing }) {
  const shown = (value) => joined(reading(value, series)) || "–";
  const mean = joined(quantity(series.mean, unitOf(series))) || "–";
  const without = series.readings - series.values;
  return html`<tr data-key="${series.id}">
    <th scope="row">
      <label class="metric" title="${why}">
        <input type="checkbox" data-role="select" data-id="${series.id}"
          aria-label="${seriesName(series)}"
          ${index >= 0 && html`checked`} ${why && html`disabled`}>
        <span>
          ${index >= 0 && html`<i class="swatch" style="background:${colourOf(index)}"></i>`}
          ${series.metric} ${attributeChips(series.attributes)}
          ${without > 0 && html`<span class="reason">${withoutValue(without, missing)}</span>`}
        </span>
      </label>
    </th>
    <td class="wide"><code>${series.hw_id}</code></td>
    <td class="r num">${shown(series.min)}</td>
    <td class="r num wide">${series.kind === "counter" ? "–" : mean}</td>
    <td class="r num">${shown(series.max)}</td>
    <td class="r num wide">${count(series.readings)}</td>
    <td class="r num wide">${perSecond(series.rate_hz)}</td>
  </tr>`;
}
