// SPDX-License-Identifier: Apache-2.0
// Captures as a list: of all nodes, or of one with the button that asks for another.

import { getJson, poll, postJson } from "./api.js";
import { count, dateTime, joined, msOfNs, quantity } from "./format.js";
import { html, paint } from "./html.js";
import { t, triggerText } from "./i18n.js";
import { columns, failureNote, filterBox, matcher, onRole, standInBadge } from "./parts.js";
import { captureLink, capturesLink, nodeLink } from "./route.js";

const POLL_MS = 3000;
const LIMIT = 500;
const WINDOW_S = 5; // before and after, of a capture that the button asks for

const SECONDS = { unit: "s", ratio: false };

const lengthOf = (capture) => Number(BigInt(capture.to_ns) - BigInt(capture.from_ns)) / 1e9;

const said = (capture) =>
  [
    capture.node,
    capture.edge,
    capture.hw_id,
    capture.metric,
    capture.cause,
    capture.trigger,
    triggerText(capture.trigger),
    capture.id,
  ].join(" ");

/** "5.000 s", and "incomplete" where parts are missing. */
export const lengthCell = (capture) =>
  html`${joined(quantity(lengthOf(capture), SECONDS))}${" "}${!capture.complete &&
  html`<span class="badge late" title="${t("capture.incomplete.title")}">
    ${t("capture.incomplete")}
  </span>`}`;

function row(capture, ofNode) {
  return html`<tr data-key="${capture.edge}/${capture.node}/${capture.id}">
    <th scope="row" class="num nowrap">
      <a href="${captureLink(capture)}">${dateTime(msOfNs(capture.at_ns))}</a>
    </th>
    ${!ofNode &&
    html`<td>
      <a href="${nodeLink(capture.edge, capture.node)}">${capture.node}</a> ${standInBadge(capture)}
    </td>`}
    <td class="nowrap">${triggerText(capture.trigger)}</td>
    <td class="message">${capture.cause}</td>
    <td class="wide"><code>${capture.hw_id}</code></td>
    <td class="r num">${lengthCell(capture)}</td>
    <td class="r num wide">${count(capture.readings)}</td>
  </tr>`;
}

/** A card with captures in `root`; `place` is `{edge, node}` or null for all nodes. */
export class CaptureCard {
  constructor(root, app, place, { limit = LIMIT, heading = "h2" } = {}) {
    Object.assign(this, { root, app, place, limit, filter: "", answer: null, failed: null });
    this.asked = null; // {words, bad} of the last press of the button
    const title = t("capture.list");
    const head = heading === "h1" ? html`<h1>${title}</h1>` : html`<h2>${title}</h2>`;
    paint(
      root,
      html`<section class="card captures">
        <header>
          ${head}
          ${!place && filterBox("", t("capture.filter"))}
          ${place && html`<a href="${capturesLink()}">${t("capture.all")}</a>`}
          <span class="push"></span>
          <span class="asked" role="status" data-part="asked"></span>
          <span data-part="button"></span>
        </header>
        <div class="scroll"><table class="list" data-part="list" aria-label="${title}"></table></div>
        <div data-part="note"></div>
      </section>`,
    );
    onRole(root, {
      "input:filter": (box) => {
        this.filter = box.value;
        this.#show();
      },
      "click:capture": () => void this.#capture(),
    });
    this.stop = poll(() => this.#ask(), POLL_MS);
  }

  close() {
    this.closed = true;
    this.stop();
  }

  #part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  async #ask() {
    try {
      this.answer = await getJson("/api/captures", { ...this.place, limit: this.limit });
      this.failed = null;
    } catch (error) {
      this.failed = error;
    }
    this.#show();
  }

  async #capture() {
    this.asked = { words: t("capture.asking") };
    this.#show();
    try {
      const window = { before_s: WINDOW_S, after_s: WINDOW_S };
      const { capture } = await postJson("/api/capture", { ...this.place, ...window });
      this.asked = { words: t("capture.begun", { id: capture, seconds: WINDOW_S }) };
    } catch (error) {
      this.asked = { words: error.message, bad: true };
    }
    this.#show();
  }

  #show() {
    if (this.closed) return;
    paint(this.#part("button"), html`${this.#button()}`);
    paint(
      this.#part("asked"),
      html`${this.asked && html`<span class="${this.asked.bad && "alarm"}">${this.asked.words}</span>`}`,
    );
    if (!this.answer) {
      const waiting = html`<p class="empty">${t("app.loading")}</p>`;
      return paint(this.#part("note"), this.failed ? failureNote(this.failed) : waiting);
    }
    const matches = matcher(this.filter);
    const list = this.answer.captures.filter((capture) => matches(said(capture)));
    const ofNode = Boolean(this.place);
    const rows = list.map((capture) => row(capture, ofNode));
    paint(this.#part("list"), html`${list.length > 0 && this.#columns()}<tbody>${rows}</tbody>`);
    const none = t(this.answer.captures.length ? "common.none" : "capture.none");
    return paint(
      this.#part("note"),
      html`${!list.length && html`<p class="empty">${none}</p>`}`,
    );
  }

  #columns() {
    return columns(
      ["capture.at"],
      ...(this.place ? [] : [["common.node"]]),
      ["capture.trigger"],
      ["capture.cause"],
      ["common.device", "wide"],
      ["capture.length", "r"],
      ["capture.readings", "r wide"],
    );
  }

  /** The button, or why there is none. */
  #button() {
    if (!this.place || !this.answer) return null;
    if (!this.answer.local) {
      return html`<span class="muted" title="${t("capture.remote.title")}">
        ${t("capture.remote")}
      </span>`;
    }
    const title = t("capture.now.title", { seconds: WINDOW_S });
    return html`<button type="button" data-role="capture" title="${title}">
      ${t("capture.now")}
    </button>`;
  }
}

/** The view of `#/captures`. */
export function open(root, route, app) {
  const card = new CaptureCard(root, app, null, { heading: "h1" });
  return { title: t("capture.list"), close: () => card.close() };
}
