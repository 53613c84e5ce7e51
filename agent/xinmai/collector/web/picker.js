// SPDX-License-Identifier: Apache-2.0
// Chooses a series to lay over a chart: of any node, of a unit that the chart has or has room for.

import { getJson } from "./api.js";
import { byName, unitOf } from "./format.js";
import { html, paint } from "./html.js";
import { t } from "./i18n.js";
import { attributeChips, deviceName, filterBox, matcher, onRole, seriesName } from "./parts.js";

const SHOWN = 40;
const MOST_UNITS = 2;

/** Series on one chart. */
export const MOST = 8;

function unitKey(series) {
  const { unit, ratio } = unitOf(series);
  return `${unit} ${ratio} ${series.kind === "counter"}`;
}

/** A panel in `box`; `onPick` gets the place `{id, edge, node}` of what was chosen. */
export class Picker {
  constructor(box, app, charted, onPick) {
    Object.assign(this, { box, app, charted, onPick });
    this.words = "";
    this.place = { edge: charted[0].edge, node: charted[0].node };
    this.series = [];
    this.ids = new Set(charted.map((series) => series.id));
    this.units = new Set(charted.map(unitKey));
    const nodes = [...(app.fleet.data?.nodes ?? [])].sort(
      (a, b) => byName(a.edge, b.edge) || byName(a.node, b.node),
    );
    paint(
      box,
      html`<div class="picker-head">
          <select data-role="node" aria-label="${t("common.node")}">
            ${nodes.map((node, index) => this.#option(node, index))}
          </select>
          ${filterBox("", t("series.add.filter"))}
        </div>
        <ul id="found" class="found"></ul>
        <p class="note" id="more"></p>`,
    );
    this.controller = new AbortController();
    const roles = {
      "change:node": (select) => this.#node(nodes[Number(select.value)]),
      "input:filter": (input) => {
        this.words = input.value;
        this.#show();
      },
      "click:pick": (button) => this.onPick({ ...this.place, id: button.dataset.id }),
    };
    onRole(box, roles, this.controller.signal);
    void this.#load();
    box.querySelector("input").focus();
  }

  close() {
    this.controller.abort();
    this.box.replaceChildren();
  }

  #option({ edge, node }, index) {
    const selected = edge === this.place.edge && node === this.place.node;
    return html`<option value="${index}" ${selected && html`selected`}>${edge} / ${node}</option>`;
  }

  #node({ edge, node }) {
    this.place = { edge, node };
    void this.#load();
  }

  async #load() {
    const { edge, node } = this.place;
    const answer = await getJson("/api/series", { edge, node }).catch(() => ({ series: [] }));
    if (this.controller.signal.aborted || node !== this.place.node) return;
    this.series = answer.series.sort((a, b) => byName(seriesName(a), seriesName(b)));
    this.#show();
  }

  #device(id) {
    const node = this.app.fleet.node(this.place.edge, this.place.node);
    const device = node?.devices.find((it) => it.hw_id === id);
    return device ? deviceName(device) : id;
  }

  #said(series) {
    return [seriesName(series), series.unit, series.hw_id, this.#device(series.hw_id)].join(" ");
  }

  /** Why a series cannot be laid over the chart, "" where it can. */
  #refusal(series) {
    if (this.ids.size >= MOST) return t("series.add.full");
    const fits = this.units.has(unitKey(series)) || this.units.size < MOST_UNITS;
    return fits ? "" : t("series.add.unit");
  }

  #row(series) {
    const why = this.#refusal(series);
    return html`<li data-key="${series.id}">
      <button type="button" data-role="pick" data-id="${series.id}"
        ${why && html`disabled title="${why}"`}>
        ${series.metric} ${attributeChips(series.attributes)}
        <span class="muted">${this.#device(series.hw_id)}</span>
        <span class="unit">${series.unit}</span>
      </button>
    </li>`;
  }

  #show() {
    const matches = matcher(this.words);
    const free = this.series.filter((series) => !this.ids.has(series.id));
    const list = free.filter((series) => matches(this.#said(series)));
    const rows = list.slice(0, SHOWN).map((series) => this.#row(series));
    paint(this.box.querySelector("#found"), html`${rows}`);
    const more = list.length - SHOWN;
    const none = list.length ? "" : t("common.none");
    const words = more > 0 ? t("series.add.more", { count: more }) : none;
    this.box.querySelector("#more").textContent = words;
  }
}
