// SPDX-License-Identifier: Apache-2.0
// Newest events: what happened, where, how bad it is and what to do.

import { getJson, poll } from "./api.js";
import { dateTime, msOfNs } from "./format.js";
import { html, paint } from "./html.js";
import { severityText, t } from "./i18n.js";
import { attributeChips, columns, failureNote, filterBox, matcher, onRole } from "./parts.js";
import { nodeLink } from "./route.js";

const POLL_MS = 3000;
const LIMIT = 500;
const SEVERITIES = ["critical", "error", "warning", "info"];

const seen = { filter: "", severity: "" };

const said = (event) =>
  [
    event.edge,
    event.node,
    event.hw_id,
    event.code,
    event.class,
    event.message,
    event.action,
  ].join(" ");

function row(event) {
  const severity = SEVERITIES.includes(event.severity) ? event.severity : "info";
  return html`<tr data-key="${event.time_ns}/${event.node}/${event.hw_id}/${event.code}">
    <td class="num nowrap">${dateTime(msOfNs(event.time_ns))}</td>
    <td><span class="severity ${severity}">${severityText(event.severity)}</span></td>
    <th scope="row"><a href="${nodeLink(event.edge, event.node)}">${event.node}</a></th>
    <td class="wide"><code>${event.hw_id}</code></td>
    <td><code>${event.code}</code> <span class="muted wide">${event.class}</span></td>
    <td class="message">
      ${event.message} <span class="wide">${attributeChips(event.attributes)}</span>
    </td>
    <td class="action">${event.action}</td>
  </tr>`;
}

const head = () =>
  columns(
    ["col.time"],
    ["col.severity"],
    ["common.node"],
    ["common.device", "wide"],
    ["col.code"],
    ["col.message"],
    ["col.action"],
  );

const buttons = (events) =>
  ["", ...SEVERITIES].map((name) => {
    const many = events.filter((event) => !name || event.severity === name).length;
    const words = name ? severityText(name) : t("events.all");
    return html`<button type="button" data-role="severity" data-severity="${name}"
      aria-pressed="${String(seen.severity === name)}">
      ${words} <span class="muted">${many}</span>
    </button>`;
  });

/** The view of `#/events`. */
export function open(root) {
  paint(
    root,
    html`<section class="card">
      <header>
        <h1>${t("events.title")}</h1>
        ${filterBox(seen.filter, t("events.filter"))}
        <div class="buttons" role="group" aria-label="${t("col.severity")}" id="buttons"></div>
      </header>
      <div class="scroll">
        <table class="list events" id="events" aria-label="${t("events.title")}"></table>
      </div>
      <div id="note"></div>
    </section>`,
  );
  let events = null;
  let failed = null;
  const at = (id) => root.querySelector(`#${id}`);

  const show = () => {
    if (failed && !events) return paint(at("note"), failureNote(failed));
    const matches = matcher(seen.filter);
    const list = events.filter(
      (event) => (!seen.severity || event.severity === seen.severity) && matches(said(event)),
    );
    paint(at("buttons"), html`${buttons(events)}`);
    paint(at("events"), html`${head()}<tbody>${list.map(row)}</tbody>`);
    const words = t(events.length ? "common.none" : "events.empty");
    return paint(at("note"), html`${!list.length && html`<p class="empty">${words}</p>`}`);
  };

  const stop = poll(async () => {
    try {
      ({ events } = await getJson("/api/events", { limit: LIMIT }));
      failed = null;
    } catch (error) {
      failed = error;
    }
    if (root.isConnected) show();
  }, POLL_MS);

  onRole(root, {
    "input:filter": (box) => {
      seen.filter = box.value;
      if (events) show();
    },
    "click:severity": (button) => {
      seen.severity = button.dataset.severity;
      show();
    },
  });
  return { title: t("events.title"), close: stop };
}
