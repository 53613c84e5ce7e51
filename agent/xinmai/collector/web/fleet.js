// SPDX-License-Identifier: Apache-2.0
// The whole fleet: what is online, how old the newest sample of each device is, what was lost.

import { age, byName, bytes, count } from "./format.js";
import { html, paint } from "./html.js";
import { t } from "./i18n.js";
import {
  AGE_CLASSES,
  ageClass,
  ageMark,
  countCell,
  deviceName,
  filterBox,
  matcher,
  onRole,
  onlineMark,
  rateCell,
  standInBadge,
} from "./parts.js";
import { nodeLink } from "./route.js";

const NAMED_GROUPS = 60; // above so many nodes the map shows cells only

const seen = { filter: "", sort: "state", down: false }; // kept while the page is open

const SORTS = {
  state: (a, b) => trouble(b) - trouble(a),
  node: (a, b) => byName(a.node, b.node),
  edge: (a, b) => byName(a.edge, b.edge),
  age: (a, b) => (b.newest_age_s ?? Infinity) - (a.newest_age_s ?? Infinity),
  devices: (a, b) => b.devices.length - a.devices.length,
  rate: (a, b) => achieved(a) - achieved(b),
  missed: (a, b) => b.quality.missed - a.quality.missed,
  lost: (a, b) => b.quality.lost - a.quality.lost,
  gaps: (a, b) => b.quality.gaps - a.quality.gaps,
  spool: (a, b) => (b.quality.spool_bytes ?? 0) - (a.quality.spool_bytes ?? 0),
};

const achieved = (node) => node.quality.rate_hz / (node.quality.expected_hz || Infinity);

/** What needs a person first: offline nodes, then silent and stale ones. */
function trouble(node) {
  if (!node.online) return 3;
  return { silent: 2, never: 2, stale: 1 }[ageClass(node.newest_age_s)] ?? 0;
}

const sum = (nodes, pick) => nodes.reduce((total, node) => total + (pick(node) ?? 0), 0);

/** The fleet's nodes with ages as of now. */
function current(fleet) {
  return fleet.data.nodes.map((node) => ({
    ...node,
    newest_age_s: fleet.grown(node.newest_age_s),
    devices: node.devices.map((device) => ({
      ...device,
      newest_age_s: fleet.grown(device.newest_age_s),
    })),
  }));
}

const figure = (label, value, note) =>
  html`<div class="figure">
    <dt>${label}</dt>
    <dd><b>${value}</b>${note && html` <span>${note}</span>`}</dd>
  </div>`;

function figures(nodes) {
  const online = nodes.filter((node) => node.online);
  const devices = nodes.flatMap((node) => node.devices);
  const present = devices.filter((device) => device.present);
  const ages = online.map((node) => node.newest_age_s).filter((value) => value !== null);
  const whole = (total) => t("common.of", { part: "", whole: count(total) }).trim();
  const total = (key) => sum(nodes, (node) => node.quality[key]);
  const perSecond = (key) => count(Math.round(total(key)));
  const expected = t("fleet.expected", { rate: perSecond("expected_hz") });
  const missed = t("fleet.missed", { count: count(total("missed")) });
  return html`<dl class="figures">
    ${figure(t("fleet.nodes"), count(online.length), whole(nodes.length))}
    ${figure(t("fleet.devices"), count(present.length), whole(devices.length))}
    ${figure(t("fleet.series"), count(sum(devices, (device) => device.series)))}
    ${figure(t("fleet.rate"), perSecond("rate_hz"), expected)}
    ${figure(t("fleet.lost"), count(total("lost")), missed)}
    ${figure(t("fleet.oldest"), ages.length ? age(Math.max(...ages)) : "–")}
  </dl>`;
}

/** Devices by vendor, and within by node. */
function vendorsOf(nodes) {
  const vendors = new Map();
  for (const node of nodes) {
    for (const device of node.devices) {
      const groups = vendors.get(device.vendor) ?? new Map();
      const group = groups.get(node) ?? [];
      group.push(device);
      groups.set(node, group);
      vendors.set(device.vendor, groups);
    }
  }
  const size = (groups) => [...groups.values()].reduce((total, list) => total + list.length, 0);
  return [...vendors].sort(([a, x], [b, y]) => size(y) - size(x) || byName(a || "~", b || "~"));
}

const cell = (device) => {
  const state = ageClass(device.newest_age_s, device.present);
  const words = device.present ? age(device.newest_age_s) : t("state.absent");
  const title = `${deviceName(device)} · ${device.hw_id} · ${words}`;
  return html`<i class="cell ${state}${device.stand_in && " standin"}" title="${title}"></i>`;
};

function group(node, devices, named) {
  const ages = devices.map((device) => device.newest_age_s).filter((value) => value !== null);
  const oldest = ages.length ? age(Math.max(...ages)) : t("state.never");
  const said = t("fleet.group", { node: node.node, count: devices.length, age: oldest });
  const place = `${node.edge}/${node.node}`;
  // The table below is the way for the keyboard: hundreds of stops here would hide it.
  return html`<a class="group" data-key="${place}" href="${nodeLink(node.edge, node.node)}"
    tabindex="-1" aria-label="${said}" title="${place}">
    ${named && html`<span class="name">${node.node}</span>`}
    <span class="cells">${devices.map(cell)}</span>
  </a>`;
}

function vendorRow([vendor, groups]) {
  const devices = [...groups.values()].reduce((total, list) => total + list.length, 0);
  const named = groups.size <= NAMED_GROUPS;
  const says = t("fleet.vendor.count", { devices: count(devices), nodes: count(groups.size) });
  return html`<section class="vendor" data-key="${vendor}">
    <h3>${vendor || t("fleet.vendor.other")} <span>${says}</span></h3>
    <div class="groups ${named ? "named" : "bare"}">
      ${[...groups].map(([node, list]) => group(node, list, named))}
    </div>
  </section>`;
}

const legend = () =>
  html`<ul class="legend">
    ${AGE_CLASSES.map((name) => html`<li><i class="cell ${name}"></i>${t(`age.${name}`)}</li>`)}
  </ul>`;

function vendorCounts(node) {
  const counts = new Map();
  for (const { vendor } of node.devices) counts.set(vendor, (counts.get(vendor) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => byName(a || "~", b || "~"));
}

const vendorChip = ([vendor, many]) =>
  html`<span class="chip">${vendor || t("fleet.vendor.other")} <b>${many}</b></span>`;

function row(node) {
  const { quality } = node;
  return html`<tr data-key="${node.edge}/${node.node}" class="${node.online ? "" : "off"}">
    <td>${onlineMark(node)}</td>
    <th scope="row">
      <a href="${nodeLink(node.edge, node.node)}">${node.node}</a> ${standInBadge(node)}
    </th>
    <td class="wide">${node.edge}</td>
    <td class="r">${ageMark(node.newest_age_s)}</td>
    <td class="wide">${vendorCounts(node).map(vendorChip)}</td>
    <td class="r">${rateCell(quality)}</td>
    <td class="r wide">${countCell(quality.missed, count(quality.missed))}</td>
    <td class="r">${countCell(quality.lost, count(quality.lost))}</td>
    <td class="r wide">${countCell(quality.gaps, count(quality.gaps))}</td>
    <td class="r wide">${bytes(quality.spool_bytes) || "–"}</td>
    <td class="wide muted">${node.agent}</td>
  </tr>`;
}

function heading(name, column, classes = "") {
  const sorted = seen.sort === name ? (seen.down ? "descending" : "ascending") : "none";
  const words = t(column);
  const title = t("col.sort", { column: words });
  return html`<th scope="col" class="${classes}" aria-sort="${sorted}">
    <button type="button" data-role="sort" data-sort="${name}" title="${title}">${words}</button>
  </th>`;
}

const table = (nodes) => html`<thead data-key="head"><tr>
    ${heading("state", "col.state")}
    ${heading("node", "common.node")}
    ${heading("edge", "common.edge", "wide")}
    ${heading("age", "col.age", "r")}
    ${heading("devices", "col.devices", "wide")}
    ${heading("rate", "col.rate", "r")}
    ${heading("missed", "col.missed", "r wide")}
    ${heading("lost", "col.lost", "r")}
    ${heading("gaps", "col.gaps", "r wide")}
    ${heading("spool", "col.spool", "r wide")}
    <th scope="col" class="wide">${t("col.agent")}</th>
  </tr></thead>
  <tbody>${nodes.map(row)}</tbody>`;

const named = (a, b) => byName(a.edge, b.edge) || byName(a.node, b.node);

/** The nodes that the filter leaves, by name: places on the map do not move. */
function chosen(nodes) {
  const matches = matcher(seen.filter);
  const said = (node) => {
    const devices = node.devices.flatMap((it) => [it.vendor, it.model, it.hw_id]);
    return [node.edge, node.node, node.agent, ...devices].join(" ");
  };
  return nodes.filter((node) => matches(said(node))).sort(named);
}

function sorted(nodes) {
  const order = SORTS[seen.sort];
  const sign = seen.down ? -1 : 1;
  return [...nodes].sort((a, b) => sign * order(a, b) || named(a, b));
}

/** The view of `#/`. */
export function open(root, route, { fleet }) {
  paint(
    root,
    html`<h1 class="sr">${t("fleet.title")}</h1>
      <div id="figures"></div>
      <section class="card" id="mapcard">
        <header><h2>${t("fleet.map")}</h2>${legend()}</header>
        <div id="map" class="map"></div>
      </section>
      <section class="card">
        <header><h2>${t("fleet.table")}</h2>${filterBox(seen.filter, t("common.filter"))}</header>
        <div class="scroll">
          <table class="list" id="nodes" aria-label="${t("fleet.table")}"></table>
        </div>
        <p class="empty" id="empty" hidden></p>
      </section>`,
  );
  const at = (id) => root.querySelector(`#${id}`);

  const show = () => {
    if (!fleet.data) return;
    const nodes = current(fleet);
    const list = chosen(nodes);
    paint(at("figures"), figures(nodes));
    paint(at("map"), html`${vendorsOf(list).map(vendorRow)}`);
    paint(at("nodes"), table(sorted(list)));
    at("mapcard").hidden = nodes.length === 0;
    at("empty").hidden = list.length > 0;
    at("empty").textContent = t(nodes.length ? "common.none" : "fleet.empty");
  };

  onRole(root, {
    "input:filter": (box) => {
      seen.filter = box.value;
      show();
    },
    "click:sort": (button) => {
      const name = button.dataset.sort;
      seen.down = seen.sort === name && !seen.down;
      seen.sort = name;
      show();
    },
  });
  fleet.addEventListener("change", show);
  show();
  return { title: t("fleet.title"), close: () => fleet.removeEventListener("change", show) };
}
