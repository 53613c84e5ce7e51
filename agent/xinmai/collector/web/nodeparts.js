// SPDX-License-Identifier: Apache-2.0
// Markup of the node view: its head, its devices, the rows of their series.

import { age, byName, bytes, cadence, clockTime, count } from "./format.js";
import { html } from "./html.js";
import { kindText, reasonText, t } from "./i18n.js";
import {
  absentBadge,
  ageMark,
  attributeChips,
  columns,
  countCell,
  deviceName,
  isStale,
  newestCell,
  onlineMark,
  rateCell,
  seriesName,
  staleBadge,
  standInBadge,
  valueCell,
} from "./parts.js";
import { qualityLink } from "./route.js";

const INDENT_PX = 18;
const COLUMNS = 7;

/** Devices with parts behind the device they belong to. */
export function ordered(devices) {
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

/** What a filter looks through. */
export const said = (series, device) =>
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

export const byMetric = (a, b) => byName(a.metric, b.metric) || byName(seriesName(a), seriesName(b));

function facts(node, fleet) {
  const seen = node.last_seen_ms;
  const ago = seen === null ? "–" : t("node.seen.ago", { age: age((fleet.now() - seen) / 1000) });
  return html`<span class="facts">
    <span>${t("node.agent")} <b>${node.agent}</b></span>
    <span title="${node.boot}">${t("node.boot")} <b>${String(node.boot).slice(0, 8)}</b></span>
    <span>${t("node.seen")} <b title="${seen === null ? "" : clockTime(seen)}">${ago}</b></span>
  </span>`;
}

function qualityStrip(node, fleet) {
  const { quality } = node;
  const counted = (key) => html`<span>
    ${t(`col.${key}`)} ${countCell(quality[key], count(quality[key]))}
  </span>`;
  return html`<a class="strip" href="${qualityLink(node.edge, node.node)}"
    title="${t("node.quality")}">
    <span>${t("col.age")} ${ageMark(fleet.grown(node.newest_age_s))}</span>
    <span>${t("col.rate")} ${rateCell(quality)}</span>
    ${counted("missed")}
    ${counted("lost")}
    ${counted("gaps")}
    <span>${t("col.spool")} <span class="num">${bytes(quality.spool_bytes) || "–"}</span></span>
  </a>`;
}

/** Who the node is and how it does. */
export const head = (node, fleet) => html`<div class="head">
    <h1>${node.node}</h1>
    ${onlineMark(node)} ${standInBadge(node)}
    <span class="muted">${node.edge}</span>
    ${facts(node, fleet)}
  </div>
  ${qualityStrip(node, fleet)}`;

export const nodeColumns = () =>
  columns(
    ["col.metric"],
    ["", "wide"],
    ["col.value", "r"],
    ["col.perSecond", "r wide"],
    ["col.sampleAge", "r wide"],
    ["col.cadence", "r wide"],
    ["col.kind", "wide"],
  );

/** A device and, where it is open, its rows. */
export function body(device, { depth, open, rows, total, seconds }) {
  const id = device.hw_id;
  const name = deviceName(device);
  const parent = depth > 0 && t("node.parent", { parent: device.parent });
  return html`<tbody data-key="d${id}">
    <tr class="device" data-key="d">
      <th colspan="${COLUMNS}" scope="rowgroup">
        <button type="button" class="fold" data-role="device" data-device="${id}"
          aria-expanded="${String(open)}" style="margin-left:${depth * INDENT_PX}px">
          <span class="arrow"></span><b>${name}</b>
        </button>
        ${" "}<span class="muted">${device.vendor}</span> ${standInBadge(device)} ${absentBadge(device)}
        ${parent && html` <span class="muted wide">${parent}</span>`}
        ${name !== id && html` <code class="wide">${id}</code>`}
        <span class="tail">
          <span class="muted">${t("node.series", { count: count(total) })}</span>
          ${ageMark(seconds, device.present)}
        </span>
      </th>
    </tr>
    ${rows && rows.map(row)}
  </tbody>`;
}

function row({ series, link, rate, seconds }) {
  const stale = isStale(seconds, series.period_ns);
  const chips = attributeChips(series.attributes);
  const label = t("node.select", { series: seriesName(series) });
  return html`<tr data-key="${series.id}" class="${stale && "stale"}">
    <td>
      <div class="metric">
        <input type="checkbox" data-role="select" data-id="${series.id}" aria-label="${label}">
        <span>
          <a href="${link}" title="${series.native}">${series.metric}</a>
          <span class="narrow"> ${chips}</span>
        </span>
      </div>
    </td>
    <td class="wide">${chips}</td>
    <td class="r value">
      ${stale && html`<span class="badge late narrow">${age(seconds)}</span> `}
      ${newestCell(series)}
    </td>
    <td class="r wide">${valueCell(rate)}</td>
    <td class="r wide num">${stale && html`${staleBadge()} `}${age(seconds)}</td>
    <td class="r wide muted">${cadence(series.period_ns)}</td>
    <td class="wide muted">${kindText(series.kind)}</td>
  </tr>`;
}
