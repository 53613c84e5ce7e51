// SPDX-License-Identifier: Apache-2.0
// The page's frame: navigation, language, theme, the state of the connection, and one view at a time.

import { Fleet, getJson, poll } from "./api.js";
import * as capture from "./capture.js";
import * as captures from "./capturelist.js";
import * as events from "./events.js";
import * as fleetView from "./fleet.js";
import { bytes, clockTime, count, zone } from "./format.js";
import { html, paint } from "./html.js";
import { language, setLanguage, t } from "./i18n.js";
import * as node from "./node.js";
import { onRole } from "./parts.js";
import * as quality from "./quality.js";
import { capturesLink, eventsLink, fleetLink, parse, qualityLink } from "./route.js";
import * as series from "./series.js";

const HEALTH_MS = 10_000;
const LOST_MS = 1_500; // one lost answer is no lost connection, two are
const VIEWS = { fleet: fleetView, node, series, quality, events, captures, capture };
const TABS = [
  ["fleet", fleetLink, "app.fleet"],
  ["quality", qualityLink, "app.quality"],
  ["events", eventsLink, "app.events"],
  ["captures", capturesLink, "app.captures"],
];

const at = (id) => document.getElementById(id);
const fleet = new Fleet();
let health = null;
let view = null;
let route = null;

function frame() {
  at("skip").textContent = t("app.skip");
  const here = { node: "fleet", series: "fleet", capture: "captures" }[route?.name] ?? route?.name;
  const tabs = TABS.map(
    ([name, link, words]) =>
      html`<a href="${link()}" ${name === here && html`aria-current="page"`}>${t(words)}</a>`,
  );
  const other = language() === "zh" ? "en" : "zh-CN";
  paint(
    at("top"),
    html`<a class="brand" href="${fleetLink()}" aria-label="xinmai">
        <img src="/web/icon.svg" alt="" width="20" height="20">
        <b lang="zh-CN">芯脉</b> <span>xinmai</span>
      </a>
      <nav aria-label="${t("app.nav")}">${tabs}</nav>
      <span class="push"></span>
      <button type="button" data-role="language" lang="${other}"
        aria-label="${t("app.language.label")}">${t("app.language")}</button>
      <button type="button" data-role="theme" class="icon" aria-label="${t("app.theme")}"
        title="${t("app.theme")}"><span aria-hidden="true">◐</span></button>`,
  );
}

const fact = (words, value) => html`<span>${words} <b>${value}</b></span>`;

function foot() {
  const now = fleet.now();
  const protocol = health?.broker.protocol ? ` · MQTT ${health.broker.protocol}` : "";
  const known = health && [
    fact(t("app.collector"), `${health.collector} ${health.version}`),
    fact(t("app.brokername"), health.broker.url + protocol),
    fact(t("app.log"), bytes(health.log_bytes)),
    fact(t("app.segments"), count(health.sealed_segments)),
  ];
  paint(at("foot"), html`${known}${fact(t("app.updated"), `${clockTime(now)} ${zone(now)}`)}`);
}

function banner() {
  const place = at("banner");
  let words = "";
  if (fleet.failedSince && Date.now() - fleet.failedSince >= (fleet.data ? LOST_MS : 0)) {
    words = t("app.lost", { time: clockTime(fleet.failedSince), error: fleet.error });
  } else if (health && !health.broker.connected) {
    words = t("app.broker", { url: health.broker.url });
  }
  if (place.textContent !== words) place.textContent = words;
  place.hidden = !words;
}

/** Replace the view by what the address asks for. */
function go() {
  view?.close();
  route = parse(window.location.hash);
  const root = document.createElement("div");
  root.className = `view ${route?.name ?? "lost"}`;
  at("view").replaceChildren(root);
  if (route) view = VIEWS[route.name].open(root, route, { fleet });
  else {
    view = { title: "", close: () => undefined };
    const back = html`<a href="${fleetLink()}">${t("app.fleet")}</a>`;
    paint(root, html`<p class="empty">${t("app.notfound")} ${back}</p>`);
  }
  document.title = [view.title, "xinmai"].filter(Boolean).join(" · ");
  frame();
}

function moved() {
  go();
  at("view").focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

setLanguage();
onRole(at("top"), {
  "click:language": () => {
    setLanguage(language() === "zh" ? "en" : "zh");
    go();
    foot();
    banner();
  },
  "click:theme": () => window.xinmaiToggleTheme(),
});
at("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address belongs to the views
  at("view").focus();
});
window.addEventListener("hashchange", moved);
fleet.addEventListener("change", () => {
  banner();
  foot();
});
poll(async () => {
  health = await getJson("/api/health").catch(() => health);
  banner();
}, HEALTH_MS);
go();
fleet.start();
