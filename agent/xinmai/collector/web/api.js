// SPDX-License-Identifier: Apache-2.0
// Requests to the collector: JSON with a deadline, one poller for the fleet, one live stream.

const DEADLINE_MS = 10_000;
const POLL_MS = 2_000;
const RETRY_MS = 3_000;

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function failure(answer) {
  const body = await answer.json().catch(() => ({}));
  return new ApiError(answer.status, body.error ?? answer.statusText);
}

/** The JSON of `path`; parameters that are null are left out. */
export async function getJson(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined) query.set(name, String(value));
  }
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), DEADLINE_MS);
  try {
    const answer = await fetch(`${path}?${query}`.replace(/\?$/, ""), {
      signal: stop.signal,
      cache: "no-store",
      credentials: "same-origin",
    });
    if (!answer.ok) throw await failure(answer);
    return await answer.json();
  } finally {
    clearTimeout(timer);
  }
}

/** The JSON that `path` answers to a posted value. */
export async function postJson(path, value) {
  const answer = await fetch(path, {
    method: "POST",
    signal: AbortSignal.timeout(DEADLINE_MS),
    body: JSON.stringify(value),
    headers: { "Content-Type": "application/json" },
    credentials: "same-origin",
  });
  if (!answer.ok) throw await failure(answer);
  return answer.json();
}

/** Runs `work` now and every `periodMs` while the page is visible; never twice at a time. */
export function poll(work, periodMs) {
  let timer = 0;
  let stopped = false;
  let busy = false;
  const run = async () => {
    clearTimeout(timer);
    if (busy || stopped || document.hidden) return;
    busy = true;
    await work();
    busy = false;
    if (!stopped) timer = setTimeout(run, periodMs);
  };
  document.addEventListener("visibilitychange", run);
  void run();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", run);
  };
}

/** The newest `/api/fleet`, shared by all views, and how the connection to the collector is. */
export class Fleet extends EventTarget {
  constructor() {
    super();
    this.data = null;
    this.error = "";
    this.failedSince = 0;
    this.skewMs = 0;
  }

  start() {
    return poll(() => this.#ask(), POLL_MS);
  }

  async #ask() {
    try {
      this.data = await getJson("/api/fleet");
      this.skewMs = this.data.now_ms - Date.now();
      this.failedSince = 0;
    } catch (error) {
      this.error = error.message;
      this.failedSince ||= Date.now();
    }
    this.dispatchEvent(new Event("change"));
  }

  /** The collector's clock, which every age and every live chart refers to. */
  now() {
    return Date.now() + this.skewMs;
  }

  /** An age of the newest answer as of now: it goes on growing when answers stop. */
  grown(ageSeconds) {
    if (ageSeconds === null || ageSeconds === undefined) return null;
    return ageSeconds + Math.max(0, this.now() - this.data.now_ms) / 1000;
  }

  node(edge, name) {
    return this.data?.nodes.find((node) => node.edge === edge && node.node === name) ?? null;
  }
}

/** New rows of some series as they come; `onState` gets "open" or "lost". Returns a closer. */
export function live(ids, onRow, onState) {
  let source = null;
  let timer = 0;

  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };

  const open = () => {
    close();
    if (document.hidden) return; // a browser allows few connections to one host
    source = new EventSource(`/api/live?ids=${ids.map(encodeURIComponent).join(",")}`);
    source.onopen = () => onState("open");
    source.onmessage = (message) => onRow(JSON.parse(message.data));
    source.onerror = () => {
      onState("lost");
      if (source?.readyState === EventSource.CLOSED) timer = setTimeout(open, RETRY_MS);
    };
  };

  document.addEventListener("visibilitychange", open);
  open();
  return () => {
    document.removeEventListener("visibilitychange", open);
    close();
  };
}
