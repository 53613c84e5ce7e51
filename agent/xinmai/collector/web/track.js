// SPDX-License-Identifier: Apache-2.0
// One series in a chart's window: history in buckets, live rows behind it, gaps kept as gaps.
// Pure functions over plain arrays.

const GAP = 1.75; // of a step: jitter of a tick is below, one tick that is not there above
const ROW_MS = 1000; // what agents send is rolled up to seconds unless a lane is streamed raw

const wide = (track) => track.bucketMs > GAP * ROW_MS;

/** A track from an answer of `/api/samples` up to `toMs`, asked for in buckets of `bucketMs`. */
export function trackOf(samples, bucketMs, toMs) {
  return {
    bucketMs,
    newestMs: wide({ bucketMs }) ? toMs : -Infinity,
    t: [...samples.t_ms],
    v: [...samples.value],
    lo: [...samples.min],
    hi: [...samples.max],
    n: samples.count.map((n) => n ?? 0),
  };
}

export const emptyTrack = (bucketMs) => ({
  bucketMs,
  newestMs: -Infinity,
  t: [],
  v: [],
  lo: [],
  hi: [],
  n: [],
});

const least = (a, b) => (a === null ? b : b === null ? a : Math.min(a, b));
const most = (a, b) => (a === null ? b : b === null ? a : Math.max(a, b));

function merge(track, row, kind) {
  const at = track.t.length - 1;
  if (row.value === null) return;
  const had = track.v[at] === null ? 0 : track.n[at] || 1;
  const came = row.count || 1;
  track.v[at] =
    kind === "gauge" && had ? (track.v[at] * had + row.value * came) / (had + came) : row.value;
  track.lo[at] = least(track.lo[at], row.min ?? row.value);
  track.hi[at] = most(track.hi[at], row.max ?? row.value);
  track.n[at] = had + came;
}

/** Append a live row; into the last bucket where buckets are wider than rows. False: known already. */
export function append(track, row, kind) {
  const last = track.t.length ? track.t[track.t.length - 1] : -Infinity;
  if (row.time_ms <= Math.max(track.newestMs, wide(track) ? -Infinity : last)) return false;
  track.newestMs = row.time_ms;
  let time = row.time_ms;
  if (wide(track) && track.t.length) {
    if (time < last + track.bucketMs) {
      merge(track, row, kind);
      return true;
    }
    time = last + Math.floor((time - last) / track.bucketMs) * track.bucketMs;
  }
  track.t.push(time);
  track.v.push(row.value);
  track.lo.push(row.min ?? row.value);
  track.hi.push(row.max ?? row.value);
  track.n.push(row.count || 1);
  return true;
}

/** Forget what is older than `fromMs`, but for one point that the line comes from. */
export function trim(track, fromMs) {
  let drop = 0;
  while (drop + 1 < track.t.length && track.t[drop + 1] < fromMs) drop += 1;
  if (!drop) return;
  for (const column of ["t", "v", "lo", "hi", "n"]) track[column].splice(0, drop);
}

/** How far apart neighbours are: what is declared, or what is seen where that is slower. */
export function stepOf(track, periodMs) {
  const declared = Math.max(periodMs || 0, ROW_MS, track.bucketMs);
  const steps = [];
  let last = null;
  track.t.forEach((time, index) => {
    if (track.v[index] === null) return;
    if (last !== null) steps.push(time - last);
    last = time;
  });
  steps.sort((a, b) => a - b);
  // The lower quartile: gaps do not make the step longer, a lane that has halved its rate does.
  return steps.length ? Math.max(declared, steps[Math.floor(steps.length / 4)]) : declared;
}

/** Points with a null wherever nothing was read for more than a step. */
export function withGaps(track, stepMs) {
  const out = { t: [], y: [], lo: [], hi: [], n: [], gaps: 0 };
  const put = (time, y, lo, hi, n) => {
    out.t.push(time);
    out.y.push(y);
    out.lo.push(lo);
    out.hi.push(hi);
    out.n.push(n);
  };
  let last = null;
  let broken = false;
  track.t.forEach((time, index) => {
    if (track.v[index] === null) {
      broken ||= track.n[index] > 0; // a row that says why there is no value
      return;
    }
    if (last !== null && (broken || time - last > GAP * stepMs)) {
      put((last + time) / 2, null, null, null, 0);
      out.gaps += 1;
    }
    put(time, track.v[index], track.lo[index], track.hi[index], track.n[index]);
    last = time;
    broken = false;
  });
  return out;
}

/**
 * Growth per second of a counter; a reset is a gap, never a negative rate.
 *
 * A wide bucket holds the count at its end. The last one has not ended: its growth is over the time
 * since the one before ended, and is left out while that is too short to say anything.
 */
export function rates(points, track) {
  const out = { t: [], y: [], lo: [], hi: [], n: [], gaps: points.gaps };
  for (let index = 1; index < points.t.length; index += 1) {
    const before = points.y[index - 1];
    const now = points.y[index];
    let passed = points.t[index] - points.t[index - 1];
    if (wide(track) && index === points.t.length - 1) {
      passed = Math.min(passed, track.newestMs - points.t[index - 1] - track.bucketMs);
      if (passed < track.bucketMs / 4) break;
    }
    let rate = null;
    if (before !== null && now !== null && now >= before) {
      rate = (now - before) / (passed / 1000);
    } else if (before !== null && now !== null) {
      out.gaps += 1;
    } else if (now !== null) {
      continue; // the first value behind a gap has nothing to grow from
    }
    out.t.push(points.t[index]);
    out.y.push(rate);
    out.lo.push(rate);
    out.hi.push(rate);
    out.n.push(points.n[index]);
  }
  return out;
}

/** Newest, least, mean and most of the points; null where there is none. */
export function summary(points) {
  let [newest, min, max, sum, weight] = [null, null, null, 0, 0];
  points.y.forEach((y, index) => {
    if (y === null) return;
    newest = y;
    min = least(min, points.lo[index] ?? y);
    max = most(max, points.hi[index] ?? y);
    const n = points.n[index] || 1;
    sum += y * n;
    weight += n;
  });
  return { newest, min, max, mean: weight ? sum / weight : null, gaps: points.gaps };
}

/** True where the band between least and most would be seen. */
export const hasBand = (points) =>
  points.y.some((y, index) => y !== null && points.hi[index] > points.lo[index]);

/** The band as closed outlines, one per stretch without a gap. */
export function band(points) {
  const x = [];
  const y = [];
  let start = 0;
  const close = (end) => {
    if (end <= start) return;
    if (x.length) {
      x.push(null);
      y.push(null);
    }
    for (let at = start; at < end; at += 1) (x.push(points.t[at]), y.push(points.hi[at]));
    for (let at = end - 1; at >= start; at -= 1) (x.push(points.t[at]), y.push(points.lo[at]));
  };
  points.y.forEach((value, index) => {
    if (value !== null) return;
    close(index);
    start = index + 1;
  });
  close(points.y.length);
  return { x, y };
}

/** Points with a gap on both sides: a line cannot show them. */
export function lonely(points) {
  const none = (index) => points.y[index] === null || points.y[index] === undefined;
  return points.t
    .map((time, index) => index)
    .filter((index) => !none(index) && none(index - 1) && none(index + 1));
}
