// SPDX-License-Identifier: Apache-2.0
// A series of a capture at full rate, and as few points of it as a chart needs. Pure functions.

const GAP = 2.5; // of the usual distance: one row may be late or missing, two are a gap

/** A trace `{t, v}` in seconds from the trigger, null in v where nothing was read. */
export function traceOf(samples) {
  const seconds = samples.t_ns.map((ns) => ns / 1e9);
  const step = usualStep(seconds);
  const trace = { t: [], v: [] };
  const put = (time, value) => {
    trace.t.push(time);
    trace.v.push(value);
  };
  seconds.forEach((time, index) => {
    const before = seconds[index - 1];
    if (index && time - before > GAP * step) put((time + before) / 2, null);
    put(time, samples.value[index]);
  });
  return trace;
}

function usualStep(times) {
  const steps = [];
  for (let at = 1; at < times.length; at += 1) steps.push(times[at] - times[at - 1]);
  steps.sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] || Infinity;
}

/** Growth per second of a counter from one reading to the next; a reset is a gap. */
export function growth(trace) {
  const out = { t: [], v: [] };
  for (let at = 1; at < trace.t.length; at += 1) {
    const [before, now] = [trace.v[at - 1], trace.v[at]];
    const passed = trace.t[at] - trace.t[at - 1];
    const grows = before !== null && now !== null && now >= before && passed > 0;
    out.t.push(trace.t[at]);
    out.v.push(grows ? (now - before) / passed : null);
  }
  return out;
}

/** Index of the first time that is not below `wanted`. */
function firstFrom(times, wanted) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The points of `from` to `to` that a line of `buckets` columns of pixels shows: of each column the
 * first, the least, the most and the last, so that no peak is lost. A few points stay as they are.
 */
export function decimate(trace, from, to, buckets) {
  const start = Math.max(0, firstFrom(trace.t, from) - 1);
  const end = Math.min(trace.t.length, firstFrom(trace.t, to) + 1);
  if (end - start <= 4 * buckets) {
    return { t: trace.t.slice(start, end), v: trace.v.slice(start, end) };
  }
  const out = { t: [], v: [] };
  const width = (end - start) / buckets;
  for (let bucket = 0; bucket < buckets; bucket += 1) {
    const first = start + Math.floor(bucket * width);
    const last = start + Math.floor((bucket + 1) * width) - 1;
    for (const at of corners(trace.v, first, last)) {
      out.t.push(trace.t[at]);
      out.v.push(trace.v[at]);
    }
  }
  return out;
}

/** Positions of the first, least, most and last of a stretch in order, and of one gap in it. */
function corners(values, first, last) {
  let [low, high, none] = [-1, -1, -1];
  for (let at = first; at <= last; at += 1) {
    const value = values[at];
    if (value === null) none = at;
    else {
      if (low < 0 || value < values[low]) low = at;
      if (high < 0 || value > values[high]) high = at;
    }
  }
  const all = new Set([first, low, high, none, last].filter((at) => at >= 0));
  return [...all].sort((a, b) => a - b);
}
