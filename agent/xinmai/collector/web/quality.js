// SPDX-License-Identifier: Apache-2.0
// How much of what should have been read was read, sent and stored, and where the rest went.

import { getJson, poll } from "./api.js";
import { byName, bytes, clockTime, count, msOfMinute, nanoseconds } from "./format.js";
import { html, paint } from "./html.js";
import { reasonText, t } from "./i18n.js";
import {
  ageMark,
  columns,
  countCell,
  failureNote,
  filterBox,
  matcher,
  onRole,
  onlineMark,
  perSecond,
  rateCell,
  standInBadge,
} from "./parts.js";
import { nodeLink, qualityLink } from "./route.js";

const POLL_MS = 5000;
const MINUTES = 60;
const LEAST_HEIGHT = 4;

const seen = { filter: "" };

const reasons = (lostByReason) =>
  Object.entries(lostByReason ?? {})
    .filter(([, many]) => many)
    .sort((a, b) => b[1] - a[1])
    .map(
      ([reason, many]) =>
        html`<span class="chip lost">${reasonText(reason)} <b>${count(many)}</b></span>`,
    );

const late = (ms) => nanoseconds(ms === null ? null : ms * 1e6);

function row(node, fleet, selected) {
  const { quality } = node;
  const label = t("quality.account.open", { node: node.node });
  return html`<tr data-key="${node.edge}/${node.node}" class="${selected && "selected"}">
    <td class="wide">${onlineMark(node)}</td>
    <th scope="row">
      <a href="${qualityLink(node.edge, node.node)}" aria-label="${label}"
        ${selected && html`aria-current="true"`}>${node.node}</a> ${standInBadge(node)}
    </th>
    <td class="r">${rateCell(quality)}</td>
    <td class="r wide num">${perSecond(quality.rate_hz)}</td>
    <td class="r wide num muted">${perSecond(quality.expected_hz)}</td>
    <td class="r wide num">${count(quality.taken)}</td>
    <td class="r wide num">${count(quality.stored)}</td>
    <td class="r">${countCell(quality.missed, count(quality.missed))}</td>
    <td class="r">${countCell(quality.lost, count(quality.lost))}</td>
    <td class="wide">${reasons(quality.lost_by_reason)}</td>
    <td class="r wide">${countCell(quality.gaps, count(quality.gaps))}</td>
    <td class="r wide num">${bytes(quality.spool_bytes) || "–"}</td>
    <td class="r wide num">${late(quality.late_ms)}</td>
    <td class="r">${ageMark(fleet.grown(node.newest_age_s))}</td>
  </tr>`;
}

const head = () =>
  columns(
    ["col.state", "wide"],
    ["common.node"],
    ["col.rate", "r"],
    ["col.perSecond", "r wide"],
    ["col.expected", "r wide"],
    ["col.taken", "r wide"],
    ["col.stored", "r wide"],
    ["col.missed", "r"],
    ["col.lost", "r"],
    ["col.reasons", "wide"],
    ["col.gaps", "r wide"],
    ["col.spool", "r wide"],
    ["col.late", "r wide"],
    ["col.age", "r"],
  );

const onTheWay = (it) => Math.max(0, it.taken - it.stored - it.lost);

const total = (rows, key) => count(rows.reduce((sum, it) => sum + it[key], 0));

/** One column per minute, newest right: stored, on the way, lost, and missed on top. */
function strip(rows) {
  const newest = msOfMinute(rows[rows.length - 1].minute);
  const tallest = Math.max(1, ...rows.map((it) => it.taken + it.missed));
  const bars = rows.map((it) => {
    const slot = MINUTES - 1 - Math.round((newest - msOfMinute(it.minute)) / 60000);
    let top = 100;
    const part = (name, many) => {
      if (!many) return null;
      const height = Math.max((100 * many) / tallest, LEAST_HEIGHT); // however few, they are seen
      top -= height;
      return html`<rect class="${name}" x="${slot * 10 + 1}" y="${top.toFixed(2)}"
        width="8" height="${height.toFixed(2)}"/>`;
    };
    return html`<g>
      ${part("stored", it.stored)}
      ${part("open", onTheWay(it))}
      ${part("lost", it.lost)}
      ${part("missed", it.missed)}
    </g>`;
  });
  const label = t("quality.strip", {
    stored: total(rows, "stored"),
    lost: total(rows, "lost"),
    missed: total(rows, "missed"),
  });
  const box = [0, -2 * LEAST_HEIGHT, MINUTES * 10, 100 + 2 * LEAST_HEIGHT].join(" ");
  return html`<svg class="account" role="img" aria-label="${label}" viewBox="${box}"
      preserveAspectRatio="none">${bars}</svg>
    <ul class="legend">
      ${["stored", "open", "lost", "missed"].map(
        (name) => html`<li><i class="cell ${name}"></i>${t(`col.${name}`)}</li>`,
      )}
    </ul>`;
}

function accountRow(it) {
  const open = onTheWay(it);
  return html`<tr data-key="${it.minute}">
    <th scope="row" class="num">${clockTime(msOfMinute(it.minute)).slice(0, 5)}</th>
    <td class="r num">${count(it.taken)}</td>
    <td class="r num">${count(it.stored)}</td>
    <td class="r num">
      ${open ? count(open) : html`<span class="quiet">${t("quality.closed")}</span>`}
    </td>
    <td class="r">${countCell(it.lost, count(it.lost))}</td>
    <td class="r">${countCell(it.missed, count(it.missed))}</td>
    <td>${reasons(it.lost_by_reason)}</td>
  </tr>`;
}

const accountHead = () =>
  columns(
    ["col.minute"],
    ["col.taken", "r"],
    ["col.stored", "r"],
    ["col.open", "r"],
    ["col.lost", "r"],
    ["col.missed", "r"],
    ["col.reasons"],
  );

const accountTable = (rows, node) => html`<div class="scroll">
  <table class="list" aria-label="${t("quality.account.open", { node })}">
    ${accountHead()}
    <tbody>${rows.map(accountRow)}</tbody>
  </table>
</div>`;

/** The account of one node below the list, asked for every few seconds. */
function account(place, edge, node) {
  let rows = null;
  return poll(async () => {
    try {
      const answer = await getJson("/api/account", { edge, node, minutes: MINUTES });
      rows = [...answer.rows].sort((a, b) => msOfMinute(a.minute) - msOfMinute(b.minute));
    } catch (error) {
      if (!rows && place.isConnected) paint(place, failureNote(error));
      return;
    }
    if (!place.isConnected) return;
    const body = rows.length
      ? html`${strip(rows)}${accountTable([...rows].reverse(), node)}`
      : html`<p class="empty">${t("quality.empty")}</p>`;
    paint(
      place,
      html`<section class="card" id="account">
        <header>
          <h2>${t("quality.account", { node })}</h2>
          <a href="${nodeLink(edge, node)}">${t("common.node")} ${node}</a>
        </header>
        ${body}
      </section>`,
    );
  }, POLL_MS);
}

/** The view of `#/quality` and `#/quality/<edge>/<node>`. */
export function open(root, route, { fleet }) {
  paint(
    root,
    html`<section class="card">
        <header><h1>${t("quality.title")}</h1>${filterBox(seen.filter, t("common.filter"))}</header>
        <p class="note">${t("quality.note")}</p>
        <div class="scroll ${route.node && "short"}">
          <table class="list" id="quality" aria-label="${t("quality.title")}"></table>
        </div>
        <p class="empty" id="empty" hidden></p>
      </section>
      <div id="minutes"></div>`,
  );
  const at = (id) => root.querySelector(`#${id}`);

  const show = () => {
    if (!fleet.data) return;
    const matches = matcher(seen.filter);
    const list = fleet.data.nodes
      .filter((node) => matches(`${node.edge} ${node.node}`))
      .sort((a, b) => byName(a.edge, b.edge) || byName(a.node, b.node));
    const is = (node) => node.edge === route.edge && node.node === route.node;
    const rows = list.map((node) => row(node, fleet, is(node)));
    paint(at("quality"), html`${head()}<tbody>${rows}</tbody>`);
    at("empty").hidden = list.length > 0;
    at("empty").textContent = t(fleet.data.nodes.length ? "common.none" : "fleet.empty");
  };

  onRole(root, {
    "input:filter": (box) => {
      seen.filter = box.value;
      show();
    },
  });
  fleet.addEventListener("change", show);
  show();
  const stop = route.node ? account(at("minutes"), route.edge, route.node) : null;
  return {
    title: t("quality.title"),
    close: () => {
      fleet.removeEventListener("change", show);
      stop?.();
    },
  };
}
