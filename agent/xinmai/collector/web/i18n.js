// SPDX-License-Identifier: Apache-2.0
// The language of the page. Both languages have the same keys; a test says so.

import { EN } from "./en.js";
import { ZH } from "./zh.js";

export const CATALOGUE = { en: EN, zh: ZH };

const STORED = "xinmai.language";
let current = "en";

function remembered() {
  try {
    return window.localStorage.getItem(STORED);
  } catch {
    return null;
  }
}

const preferred = () =>
  remembered() ?? ((navigator.language ?? "").toLowerCase().startsWith("zh") ? "zh" : "en");

export const language = () => current;

/** Speak `name`, or what the browser prefers. */
export function setLanguage(name = null) {
  current = (name ?? preferred()) in CATALOGUE ? (name ?? preferred()) : "en";
  document.documentElement.lang = current === "zh" ? "zh-CN" : "en";
  if (name === null) return;
  try {
    window.localStorage.setItem(STORED, name);
  } catch {
    // not remembered, still applied
  }
}

/** The words of `key` with `{name}` replaced; not escaped, `html` does that. */
export function t(key, parameters = {}) {
  const words = CATALOGUE[current][key] ?? CATALOGUE.en[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (all, name) => String(parameters[name] ?? all));
}

const known = (key, fallback) => (key in CATALOGUE.en ? t(key) : fallback);

/** A reason as people say it; what the catalogue does not know is shown as it came. */
export function reasonText(reason) {
  const [, name, code = ""] = /^([a-z_]+)(.*)$/s.exec(reason) ?? ["", reason];
  return known(`reason.${name}`, name) + (code ? ` ${code}` : "");
}

export const kindText = (kind) => known(`kind.${kind}`, kind);
export const triggerText = (trigger) => known(`trigger.${trigger}`, trigger);
export const severityText = (severity) => known(`severity.${severity}`, severity);
