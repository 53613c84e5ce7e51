// SPDX-License-Identifier: Apache-2.0
// Addresses of the page: everything stands behind the `#`, so that a link can be kept and sent.

const enc = encodeURIComponent;

function dec(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % in a hand-typed address
  }
}

export const fleetLink = () => "#/";
export const eventsLink = () => "#/events";
export const nodeLink = (edge, node) => `#/node/${enc(edge)}/${enc(node)}`;
export const qualityLink = (edge, node) => (edge ? `#/quality/${enc(edge)}/${enc(node)}` : "#/quality");

export const capturesLink = () => "#/captures";
export const captureLink = ({ edge, node, id }) => `#/capture/${enc(edge)}/${enc(node)}/${enc(id)}`;

/**
 * A chart: the first of `places` is its subject, the others are laid over it.
 * A place is `{id, edge, node}`: the collector lists series by node.
 */
export function seriesLink(places, options = {}) {
  const [first, ...others] = places;
  const parts = [];
  if (first.node) parts.push(`at=${enc(first.edge)}/${enc(first.node)}`);
  if (others.length) {
    parts.push(`with=${others.map((it) => `${enc(it.id)}@${enc(it.edge)}/${enc(it.node)}`).join(",")}`);
  }
  if (options.span) parts.push(`span=${options.span}`);
  if (options.raw) parts.push("raw=1");
  return `#/series/${enc(first.id)}${parts.length ? `?${parts.join("&")}` : ""}`;
}

const placeOf = (id, at = "") => {
  const [edge = "", node = ""] = at.split("/").map(dec);
  return { id: dec(id), edge, node };
};

function queryOf(text) {
  const query = {};
  for (const part of text.split("&")) {
    const at = part.indexOf("=");
    if (at > 0) query[part.slice(0, at)] = part.slice(at + 1);
  }
  return query;
}

function seriesRoute(id, query) {
  const others = (query.with ?? "").split(",").filter((text) => text.includes("@"));
  return {
    name: "series",
    places: [placeOf(id, query.at), ...others.map((text) => placeOf(...text.split("@")))],
    span: Number(query.span) || 0,
    raw: query.raw === "1",
  };
}

/** What an address asks for, null where it is none of ours. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const [head = "", ...rest] = path.replace(/^\//, "").split("/");
  if (head === "") return { name: "fleet" };
  if (head === "events") return { name: "events" };
  if (head === "quality") return { name: "quality", edge: dec(rest[0] ?? ""), node: dec(rest[1] ?? "") };
  if (head === "node" && rest.length >= 2) {
    return { name: "node", edge: dec(rest[0]), node: dec(rest[1]) };
  }
  if (head === "captures") return { name: "captures" };
  if (head === "capture" && rest.length >= 3) {
    return { name: "capture", edge: dec(rest[0]), node: dec(rest[1]), id: dec(rest[2]) };
  }
  if (head === "series" && rest[0]) return seriesRoute(rest[0], queryOf(query));
  return null;
}
