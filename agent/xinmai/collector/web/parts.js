// SPDX-License-Identifier: Apache-2.0
// Small pieces of markup that several views share.

import { age, joined, percent, quantity, reading, share } from "./format.js";
import { html } from "./html.js";
import { reasonText, t } from "./i18n.js";

const AGING_S = 5;
const STALE_S = 15;
const SILENT_S = 60;
const SHIPPING_S = 2; // a reading may take this long to arrive; it is not stale for that
const ROW_S = 1; // agents send rows of a second unless a lane is streamed raw

export const AGE_CLASSES = ["fresh", "aging", "stale", "silent", "never", "absent"];

/** How old a device's newest sample is, in classes that the legend explains. */
export function ageClass(seconds, present = true) {
  if (!present) return "absent";
  if (seconds === null) return "never";
  if (seconds < AGING_S) return "fresh";
  if (seconds < STALE_S) return "aging";
  return seconds < SILENT_S ? "stale" : "silent";
}

/** True where the newest reading is older than three periods and the way here. */
export const isStale = (seconds, periodNs) =>
  seconds !== null &&
  seconds > 3 * Math.max(Number(periodNs ?? 0) / 1e9, ROW_S) + SHIPPING_S;

export const standInBadge = (it) =>
  it.stand_in &&
  html`<span class="badge standin" title="${t("state.standin.title")}">${t("state.standin")}</span>`;

export const absentBadge = (device) =>
  !device.present && html`<span class="badge absent">${t("state.absent")}</span>`;

export const onlineMark = (node) => {
  const state = node.online ? "online" : "offline";
  return html`<span class="mark ${state}">${t(`state.${state}`)}</span>`;
};

export const ageMark = (seconds, present) =>
  html`<span class="age ${ageClass(seconds, present)}">${age(seconds)}</span>`;

/** A value and its unit apart, so that a column of values can be read down. */
export const valueCell = (shown) =>
  shown && html`<b class="num">${shown.text}</b> <span class="unit">${shown.unit}</span>`;

/** The newest reading of a series, or why there is none: never a number in its place. */
export function newestCell(series) {
  const newest = series.newest;
  if (!newest || newest.time_ms === null) {
    return html`<span class="reason">${t("state.never")}</span>`;
  }
  if (newest.value === null) {
    return html`<span class="reason">${reasonText(newest.reason ?? "")}</span>`;
  }
  const exact = `${newest.value} ${series.unit}`;
  return html`<span title="${exact}">${valueCell(reading(newest.value, series))}</span>`;
}

const lastPart = (name) => name.slice(name.lastIndexOf(".") + 1);

/** Attributes as chips: the last word of the key and the value, the whole key on hover. */
export const attributeChips = (attributes) =>
  Object.entries(attributes ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([key, value]) =>
        html`<span class="chip" title="${key}=${value}"><i>${lastPart(key)}</i>${value}</span>`,
    );

/** `hw.temperature core hbm`: a series in one line. */
export const seriesName = (series) =>
  [
    series.metric,
    ...Object.keys(series.attributes ?? {})
      .sort()
      .map((key) => series.attributes[key]),
  ].join(" ");

/** A device as people know it, model and index; series of no device belong to the node itself. */
export function deviceName(device) {
  const name = device.model || device.hw_id || t("node.self");
  return device.index === null || device.index === undefined ? name : `${name} #${device.index}`;
}

/** Achieved against expected rate: a bar, the share, both numbers. */
export function rateCell(quality) {
  const part = share(quality.rate_hz, quality.expected_hz);
  if (part === null) return html`<span class="muted">–</span>`;
  const state = part >= 98 ? "good" : part >= 90 ? "warn" : "bad";
  const width = Math.min(100, part).toFixed(1);
  return html`<span class="rate">
    <span class="bar ${state}"><i style="width:${width}%"></i></span>
    <span class="num">${percent(part)}</span>
  </span>`;
}

/** Readings per second. */
export const perSecond = (value) =>
  joined(quantity(value, { unit: "1/s", ratio: false })) || "–";

/** A count that should be zero: quiet when it is. */
export const countCell = (value, shown) =>
  html`<span class="num ${value ? "alarm" : "quiet"}">${shown}</span>`;

/** Search words, all of which must occur. */
export function matcher(words) {
  const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
  return (text) => {
    const low = text.toLowerCase();
    return parts.every((part) => low.includes(part));
  };
}

/** A filter box that keeps what was typed across repaints. */
export const filterBox = (value, label) =>
  html`<input class="filter" type="search" data-role="filter" value="${value}"
    aria-label="${label}" placeholder="${label}" autocomplete="off" spellcheck="false">`;

/** A table's head: `[catalogue key, classes]` of each column, an empty key for none. */
export const columns = (...all) =>
  html`<thead data-key="head"><tr>
    ${all.map(([key, classes = ""]) =>
      key ? html`<th scope="col" class="${classes}">${t(key)}</th>` : html`<td></td>`,
    )}
  </tr></thead>`;

/** The mark of a reading that is too old for its period. */
export const staleBadge = () =>
  html`<span class="badge late" title="${t("state.stale.title")}">${t("state.stale")}</span>`;

/** The message of a request that failed. */
export const failureNote = (error) =>
  html`<p class="empty bad">${t("app.failed", { error: error.message })}</p>`;

/**
 * Listen on `root` for `{"click:role": work}`: `work` gets the nearest element with that `data-role`.
 * Listening ends with the element, or with `signal`.
 */
export function onRole(root, handlers, signal = undefined) {
  const listen = (event) => {
    const at = event.target.closest?.("[data-role]");
    const work = at && root.contains(at) && handlers[`${event.type}:${at.dataset.role}`];
    if (work) work(at, event);
  };
  for (const type of new Set(Object.keys(handlers).map((name) => name.split(":")[0]))) {
    root.addEventListener(type, listen, { signal });
  }
}
