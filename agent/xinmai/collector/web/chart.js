// SPDX-License-Identifier: Apache-2.0
// plotly.js, loaded when the first chart opens. SVG traces only: plotly's WebGL ones compile code
// from strings, which the page's content security policy forbids, and a window has few points.

import { dateTime, digits, joined, quantity, scaleFor } from "./format.js";
import { band, hasBand, lonely } from "./track.js";

let loading = null;

/** The library, fetched once. */
export function loadPlotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/web/plotly.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("plotly.min.js"));
    };
    document.head.append(script);
  });
  return loading;
}

const COLOURS = 8;

/** The colour of the n-th series, as the style sheet's theme has it. */
export const colourOf = (index) => `var(--trace-${(index % COLOURS) + 1})`;

/** The theme's colours, as plotly needs them. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    text: read("--text"),
    muted: read("--muted"),
    line: read("--line"),
    surface: read("--surface"),
    font: style.fontFamily || "sans-serif",
    trace: (index) => read(`--trace-${(index % COLOURS) + 1}`),
  };
}

// A time without a zone is drawn as it stands, so the axis is in the browser's zone.
function local(ms) {
  if (ms === null) return null;
  return `${dateTime(ms)}.${String(Math.floor(ms) % 1000).padStart(3, "0")}`;
}

const translucent = (colour, alpha) => {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
};

/** Units in the order of their first series; each gets an axis, there are two. */
export function axesOf(lines) {
  const axes = [];
  for (const line of lines) {
    const known = axes.find((axis) => axis.unit === line.unit.unit && axis.ratio === line.unit.ratio);
    const axis = known ?? { ...line.unit, magnitude: 0, fromZero: true };
    if (!known) axes.push(axis);
    for (const value of line.points.hi) {
      if (value !== null) axis.magnitude = Math.max(axis.magnitude, Math.abs(value));
    }
    axis.fromZero &&= line.fromZero;
    line.axis = axis;
  }
  for (const axis of axes) Object.assign(axis, scaleFor(axis, axis.magnitude));
  return axes;
}

const scaled = (values, factor) => values.map((value) => (value === null ? null : value * factor));

function hoverOf(line) {
  return line.points.y.map((y, index) => {
    if (y === null) return "";
    const shown = joined(quantity(y, line.unit));
    const [lo, hi] = [line.points.lo[index], line.points.hi[index]];
    if (!(hi > lo)) return shown;
    const { factor } = scaleFor(line.unit, y);
    return `${shown}  [${digits(lo * factor)} … ${digits(hi * factor)}]`;
  });
}

// Plotly reads a little markup in texts: names must not become any.
export const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function tracesOf(line, index, axes, colours, shade) {
  const colour = colours.trace(index);
  const { factor } = line.axis;
  const on = axes.indexOf(line.axis) === 1 ? "y2" : "y";
  const common = { type: "scatter", yaxis: on, showlegend: false };
  const traces = [];
  if (line.points.t.length && hasBand(line.points)) {
    const outline = band(line.points);
    traces.push({
      ...common,
      x: outline.x.map(local),
      y: scaled(outline.y, factor),
      mode: "lines",
      line: { width: 0 },
      fill: "toself",
      fillcolor: translucent(colour, shade),
      hoverinfo: "skip",
      connectgaps: false,
      meta: "band",
    });
  }
  traces.push({
    ...common,
    x: line.points.t.map(local),
    y: scaled(line.points.y, factor),
    text: hoverOf(line),
    name: plain(line.name),
    mode: "lines",
    connectgaps: false,
    line: { color: colour, width: 1.5, shape: line.steps ? "hv" : "linear" },
    hovertemplate: "%{text}<extra>%{fullData.name}</extra>",
    meta: "line",
  });
  const alone = lonely(line.points);
  if (alone.length) {
    traces.push({
      ...common,
      x: alone.map((at) => local(line.points.t[at])),
      y: alone.map((at) => line.points.y[at] * factor),
      mode: "markers",
      marker: { color: colour, size: 4 },
      hoverinfo: "skip",
      meta: "alone",
    });
  }
  return traces;
}

/** The layout of a y axis; `side` is left or right. */
export function axisLayout(axis, colours, side) {
  return {
    title: { text: plain(axis.label), standoff: 8, font: { size: 12, color: colours.muted } },
    rangemode: axis.fromZero ? "tozero" : "normal",
    side,
    overlaying: side === "right" ? "y" : undefined,
    tickmode: "auto",
    nticks: 8,
    ticklabelstandoff: 4,
    automargin: true,
    gridcolor: side === "right" ? "rgba(0,0,0,0)" : colours.line,
    zeroline: false,
    tickfont: { size: 11, color: colours.muted },
    fixedrange: false,
  };
}

function layoutOf(axes, view, colours) {
  const layout = {
    uirevision: view.revision,
    paper_bgcolor: colours.surface,
    plot_bgcolor: colours.surface,
    font: { family: colours.font, color: colours.text, size: 12 },
    margin: { l: 56, r: axes.length > 1 ? 56 : 16, t: 12, b: 36 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colours.surface, bordercolor: colours.line, font: { size: 12 } },
    dragmode: "zoom",
    xaxis: {
      type: "date",
      range: [local(view.fromMs), local(view.toMs)],
      gridcolor: colours.line,
      tickfont: { size: 11, color: colours.muted },
      tickformat: view.toMs - view.fromMs > 7200e3 ? "%H:%M" : "%H:%M:%S",
      hoverformat: "%Y-%m-%d %H:%M:%S",
      nticks: view.narrow ? 4 : 9,
      zeroline: false,
    },
  };
  axes.slice(0, 2).forEach((axis, index) => {
    layout[index ? "yaxis2" : "yaxis"] = axisLayout(axis, colours, index ? "right" : "left");
  });
  return layout;
}

export const CONFIG = {
  displaylogo: false,
  responsive: true,
  showTips: false,
  scrollZoom: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};

/**
 * Draw lines `{name, unit, points, steps, fromZero}` into `element`.
 * `view` is `{fromMs, toMs, revision, narrow}`; a person's zoom stays until the revision changes.
 */
export async function draw(element, lines, view) {
  const plotly = await loadPlotly();
  if (!element.isConnected) return;
  const colours = palette();
  const axes = axesOf(lines);
  const shade = lines.length > 2 ? 0.08 : 0.16;
  const traces = lines.flatMap((line, index) => tracesOf(line, index, axes, colours, shade));
  await plotly.react(element, traces, layoutOf(axes, view, colours), CONFIG);
}

/** Give back what the chart in `element` holds. */
export function erase(element) {
  if (window.Plotly && element.classList.contains("js-plotly-plot")) window.Plotly.purge(element);
}
