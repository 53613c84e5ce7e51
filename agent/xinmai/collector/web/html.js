// SPDX-License-Identifier: Apache-2.0
// Markup that escapes by default, and painting that keeps focus, scroll and selection.
// Names of nodes, devices and metrics come from the network: nothing here trusts them.

class Markup {
  constructor(text) {
    this.text = text;
  }
}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "`": "&#96;" };

export const escape = (value) => String(value ?? "").replace(/[&<>"'`]/g, (sign) => ENTITIES[sign]);

function text(value) {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(text).join("");
  if (value === null || value === undefined || value === false) return "";
  return escape(value);
}

const unfolded = new WeakMap();

/** Line breaks in templates are for those who read them: between tags they are nothing, else a space. */
function unfold(strings) {
  let parts = unfolded.get(strings);
  if (!parts) {
    parts = strings.map((part) =>
      part
        .replace(/>\s*\n\s*/g, ">")
        .replace(/\s*\n\s*</g, "<")
        .replace(/\s*\n\s*/g, " "),
    );
    unfolded.set(strings, parts);
  }
  return parts;
}

/** Template tag: every `${value}` is escaped unless it came out of `html` itself. */
export function html(strings, ...values) {
  const parts = unfold(strings);
  let out = parts[0];
  values.forEach((value, index) => {
    out += text(value) + parts[index + 1];
  });
  return new Markup(out);
}

const painted = new WeakMap();

/** Make `element` hold `markup`, touching only what differs; rows are matched by `data-key`. */
export function paint(element, markup) {
  if (!(markup instanceof Markup)) throw new TypeError("paint takes the result of html``");
  if (painted.get(element) === markup.text) return;
  painted.set(element, markup.text);
  const wanted = document.createElement("template");
  wanted.innerHTML = markup.text;
  if (!element.firstChild) {
    element.append(wanted.content);
    return;
  }
  const active = document.activeElement;
  adopt(element, wanted.content);
  if (active !== document.activeElement && element.contains(active)) {
    active.focus({ preventScroll: true });
  }
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

function adopt(live, wanted) {
  const children = [...wanted.childNodes];
  const keep = new Set(children.map(keyOf));
  const known = new Map();
  for (const child of live.childNodes) {
    const key = keyOf(child);
    if (key !== null) known.set(key, child);
  }
  let at = live.firstChild;
  for (const child of children) {
    at = dropForgotten(at, keep);
    const key = keyOf(child);
    const match = key === null ? anonymous(at, child) : known.get(key);
    if (!match || match.nodeName !== child.nodeName) {
      live.insertBefore(child, at);
      continue;
    }
    known.delete(key);
    if (match === at) at = at.nextSibling;
    else live.insertBefore(match, at);
    sync(match, child);
  }
  while (at) at = drop(at);
}

const anonymous = (at, child) =>
  at && keyOf(at) === null && at.nodeName === child.nodeName ? at : null;

function drop(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function dropForgotten(at, keep) {
  let node = at;
  while (node && keyOf(node) !== null && !keep.has(keyOf(node))) node = drop(node);
  return node;
}

function sync(live, wanted) {
  if (live.nodeType !== Node.ELEMENT_NODE) {
    if (live.data !== wanted.data) live.data = wanted.data;
    return;
  }
  if (live.isEqualNode(wanted)) return;
  for (const { name, value } of wanted.attributes) {
    if (live.getAttribute(name) !== value) live.setAttribute(name, value);
  }
  for (const { name } of [...live.attributes]) {
    if (!wanted.hasAttribute(name)) live.removeAttribute(name);
  }
  adopt(live, wanted);
}
