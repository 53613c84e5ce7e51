// SPDX-License-Identifier: Apache-2.0
// Numbers, ages and times for people. Pure functions: no document, no network.

const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const SI = { n: 1e-9, µ: 1e-6, m: 1e-3, "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const SI_UNITS = {
  Hz: ["", "k", "M", "G"],
  W: ["µ", "m", "", "k", "M"],
  J: ["m", "", "k", "M", "G"],
  V: ["µ", "m", "", "k"],
  A: ["µ", "m", "", "k"],
  Pa: ["", "k", "M"],
};
const PLAIN = { Cel: "°C", "m3/s": "m³/s", 1: "" };
const RATIO = /(utilization|activity|ratio)$/;
const COUNT_STEPS = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
];

/** True where unit `1` means a share of a whole; loads, widths and generations are plain numbers. */
export const isRatio = (series) =>
  series.unit === "1" && series.kind === "gauge" && RATIO.test(series.metric ?? "");

/** What a counter's growth per second is measured in. */
export function rateOf(series) {
  const unit = series.unit;
  if (unit === "J") return { unit: "W", ratio: false };
  if (unit === "s") return { unit: "1", ratio: true };
  return { unit: unit === "1" ? "1/s" : `${unit}/s`, ratio: false };
}

/** What a reading itself is measured in. */
export const unitOf = (series) => ({ unit: series.unit, ratio: isRatio(series) });

const prefixFor = (prefixes, magnitude) => {
  let best = prefixes[0];
  for (const prefix of prefixes) if (magnitude >= SI[prefix] * 0.9995) best = prefix;
  return best;
};

function binaryScale(magnitude, suffix) {
  let power = 0;
  while (power < BINARY.length - 1 && magnitude >= 1024 ** (power + 1)) power += 1;
  return { factor: 1 / 1024 ** power, label: `${BINARY[power]}B${suffix}` };
}

function secondsScale(magnitude) {
  if (magnitude >= 2 * 86400) return { factor: 1 / 86400, label: "d" };
  if (magnitude >= 2 * 3600) return { factor: 1 / 3600, label: "h" };
  const prefix = prefixFor(["n", "µ", "m", ""], magnitude);
  return { factor: 1 / SI[prefix], label: `${prefix}s` };
}

/** The factor and label that make numbers about as large as `magnitude` readable. */
export function scaleFor({ unit, ratio }, magnitude) {
  const size = Math.abs(magnitude);
  if (ratio) return { factor: 100, label: "%" };
  if (unit in PLAIN) return { factor: 1, label: PLAIN[unit] };
  if (unit === "By") return binaryScale(size, "");
  if (unit === "By/s") return binaryScale(size, "/s");
  if (size === 0) return { factor: 1, label: label(unit) };
  if (unit === "s") return secondsScale(size);
  if (unit in SI_UNITS) {
    const prefix = prefixFor(SI_UNITS[unit], size);
    return { factor: 1 / SI[prefix], label: prefix + unit };
  }
  return { factor: 1, label: label(unit) };
}

/** `{packet}/s` is UCUM for counted things: the braces are no part of what people read. */
export const label = (unit) => PLAIN[unit] ?? unit.replace(/[{}]/g, "").replace(/^1\//, "/");

const grouped = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 0 });

/** Four significant digits, thousands grouped; whole numbers without a fraction. */
export function digits(value) {
  const size = Math.abs(value);
  if (Number.isInteger(value) || size >= 999.95) return grouped(value);
  return size < 1e-4 ? value.toExponential(2) : value.toPrecision(4);
}

function counted(value, unit) {
  for (const [size, sign] of COUNT_STEPS) {
    if (Math.abs(value) >= size * 10) return { text: digits(value / size) + sign, unit: label(unit) };
  }
  return { text: digits(value), unit: label(unit) };
}

const pad = (number) => String(number).padStart(2, "0");

/** `3 d 04:05:06`, for seconds that people think of as a time span. */
export function span(seconds) {
  const whole = Math.floor(seconds);
  const days = Math.floor(whole / 86400);
  const parts = [(whole % 86400) / 3600, (whole % 3600) / 60, whole % 60];
  const clock = parts.map((part) => pad(Math.floor(part))).join(":");
  return days ? `${days} d ${clock}` : clock;
}

function percentDigits(value) {
  if (value === 0) return "0";
  return Math.abs(value) >= 1 ? value.toFixed(1) : String(Number(value.toPrecision(2)));
}

/** `{text, unit}` of a number in a unit; nothing is ever shown for "no value". */
export function quantity(value, { unit, ratio }) {
  if (value === null || value === undefined || !Number.isFinite(value)) return null;
  if (unit === "s" && value >= 3600) return { text: span(value), unit: "" };
  if (unit.startsWith("{") || unit === "1/s") return counted(value, unit);
  const scale = scaleFor({ unit, ratio }, value);
  const shown = value * scale.factor;
  return { text: ratio ? percentDigits(shown) : digits(shown), unit: scale.label };
}

/** The reading of a series as `{text, unit}`; a bitmask in hexadecimal, a state as it is. */
export function reading(value, series) {
  if (value === null || value === undefined) return null;
  if (series.kind === "bitmask") return { text: `0x${Math.trunc(value).toString(16)}`, unit: "" };
  if (series.kind === "state") return { text: String(value), unit: label(series.unit) };
  return quantity(value, unitOf(series));
}

export const joined = (shown) => (shown ? `${shown.text} ${shown.unit}`.trim() : "");

/** Bytes as people say them. */
export const bytes = (value) => joined(quantity(value, { unit: "By", ratio: false }));

/** Whole numbers, short above ten million. */
export const count = (value) =>
  value === null || value === undefined ? "–" : counted(value, "{}").text;

/** How long ago: one unit, at most three digits. */
export function age(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const past = Math.max(0, seconds);
  if (past < 9.95) return `${past.toFixed(1)} s`;
  if (past < 120) return `${Math.round(past)} s`;
  if (past < 7200) return `${Math.round(past / 60)} min`;
  if (past < 172800) return `${Math.round(past / 3600)} h`;
  return `${Math.round(past / 86400)} d`;
}

/** `10 Hz` for a period of at most a second, `60 s` above. */
export function cadence(periodNs) {
  if (!periodNs) return "–";
  const seconds = Number(periodNs) / 1e9;
  return seconds <= 1 ? `${digits(1 / seconds)} Hz` : age(seconds).replace(".0", "");
}

/** A duration in nanoseconds, "–" where unknown. */
export const nanoseconds = (value) =>
  value === null || value === undefined
    ? "–"
    : joined(quantity(Number(value) / 1e9, { unit: "s", ratio: false }));

/** Share of `whole` in percent; null where there is no whole. */
export const share = (part, whole) => (whole > 0 && part !== null ? (100 * part) / whole : null);

/** `99.8 %`; never rounded up to 100. */
export function percent(value) {
  if (value === null || value === undefined) return "–";
  const shown = value < 100 ? Math.min(value, 99.9) : value;
  return shown === 0 || shown === 100 ? `${shown} %` : `${shown.toFixed(1)} %`;
}

/** `12:34:56`, in the browser's zone. */
export function clockTime(ms) {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

/** `2026-05-04 12:34:56`, in the browser's zone. */
export function dateTime(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${clockTime(ms)}`;
}

/** `UTC+08:00`, the zone that every time on the page is in. */
export function zone(ms) {
  const offset = -new Date(ms).getTimezoneOffset();
  const size = Math.abs(offset);
  return `UTC${offset < 0 ? "−" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

/** Milliseconds of a nanosecond time that came as a decimal string. */
export const msOfNs = (ns) => Number(BigInt(ns) / 1000000n);

/** Milliseconds of a minute that came as its number since 1970 or as a timestamp. */
export const msOfMinute = (minute) =>
  typeof minute === "number" ? minute * 60000 : Date.parse(minute);

/** Order of names with numbers in them: gpu2 before gpu10. */
const collator = new Intl.Collator("en", { numeric: true });
export const byName = (a, b) => collator.compare(a, b);
