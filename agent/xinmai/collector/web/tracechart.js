// SPDX-License-Identifier: Apache-2.0
// The chart of a capture: seconds from the trigger, as many points as there are pixels to show them.

import { CONFIG, axesOf, axisLayout, loadPlotly, palette, plain } from "./chart.js";
import { joined, quantity } from "./format.js";
import { decimate } from "./trace.js";

const MOST_BUCKETS = 1200;
const LEFT_PX = 72; // what axes take of the width

function rangeOf(element, whole) {
  const axis = element.layout?.xaxis;
  const range = axis && !axis.autorange && axis.range?.map(Number);
  return range && range.every(Number.isFinite) ? range : whole;
}

function tracesOf(line, index, axes, colours) {
  const { factor } = line.axis;
  return {
    type: "scatter",
    mode: line.points.t.length < 200 ? "lines+markers" : "lines",
    marker: { size: 4, color: colours.trace(index) },
    x: line.points.t,
    y: line.points.y.map((value) => (value === null ? null : value * factor)),
    text: line.points.y.map((value) => joined(quantity(value, line.unit))),
    name: plain(line.name),
    yaxis: axes.indexOf(line.axis) === 1 ? "y2" : "y",
    showlegend: false,
    connectgaps: false,
    line: { color: colours.trace(index), width: 1.2, shape: line.steps ? "hv" : "linear" },
    hovertemplate: "%{text}<extra>%{fullData.name}</extra>",
    meta: "line",
  };
}

function layoutOf(axes, view, colours) {
  const layout = {
    uirevision: "zoom",
    paper_bgcolor: colours.surface,
    plot_bgcolor: colours.surface,
    font: { family: colours.font, color: colours.text, size: 12 },
    margin: { l: 56, r: axes.length > 1 ? 56 : 16, t: 22, b: 44 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colours.surface, bordercolor: colours.line, font: { size: 12 } },
    dragmode: "zoom",
    xaxis: {
      range: view.whole,
      gridcolor: colours.line,
      tickfont: { size: 11, color: colours.muted },
      title: { text: plain(view.axis), standoff: 6, font: { size: 12, color: colours.muted } },
      ticksuffix: " s",
      hoverformat: ".6f",
      nticks: view.narrow ? 4 : 9,
      zeroline: false,
    },
    shapes: [
      {
        type: "line",
        x0: 0,
        x1: 0,
        yref: "paper",
        y0: 0,
        y1: 1,
        line: { color: colours.muted, width: 1.5, dash: "dash" },
      },
    ],
    annotations: [
      {
        x: 0,
        yref: "paper",
        y: 1,
        yanchor: "bottom",
        showarrow: false,
        text: plain(view.mark),
        font: { size: 11, color: colours.muted },
      },
    ],
  };
  axes.slice(0, 2).forEach((axis, index) => {
    layout[index ? "yaxis2" : "yaxis"] = axisLayout(axis, colours, index ? "right" : "left");
  });
  return layout;
}

/**
 * Draw lines `{name, unit, trace, steps, fromZero}`; `view` is `{whole, axis, mark, narrow}`, `whole`
 * the seconds that the capture spans. Zooming in draws the readings of that stretch.
 */
export async function drawTraces(element, lines, view) {
  const plotly = await loadPlotly();
  if (!element.isConnected) return;
  const colours = palette();
  const range = rangeOf(element, view.whole);
  const buckets = Math.max(100, Math.min(MOST_BUCKETS, element.clientWidth - LEFT_PX));
  for (const line of lines) {
    const { t, v } = decimate(line.trace, range[0], range[1], buckets);
    line.points = { t, y: v, hi: v };
  }
  const axes = axesOf(lines);
  const traces = lines.map((line, index) => tracesOf(line, index, axes, colours));
  const layout = layoutOf(axes, view, colours);
  layout.xaxis.range = [...range];
  await plotly.react(element, traces, layout, CONFIG);
}

/** Call `work` when a person has zoomed. */
export function onZoom(element, work) {
  element.on("plotly_relayout", (change) => {
    if (Object.keys(change).some((key) => key.startsWith("xaxis."))) work();
  });
}
