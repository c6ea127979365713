// The questions that the sessions page asks a broker, from what stands in its address.

import type { Span } from "./window.ts";

/** Filters by state, as people choose them; what each asks the broker for. */
export const FILTERS = {
  now: { label: "Now", query: { state: "reserved,starting,running,ending" } },
  running: { label: "Running", query: { state: "running" } },
  starting: { label: "Starting", query: { state: "reserved,starting" } },
  unreachable: { label: "Unreachable", query: { state: "reserved,starting,running,ending", reachable: "false" } },
  unverified: { label: "Unverified", query: { verified: "false" } },
  ended: { label: "Ended", query: { state: "ended" } },
  lost: { label: "Lost", query: { state: "lost" } },
  all: { label: "All", query: {} },
} as const;

export type Filter = keyof typeof FILTERS;

export const SORTS = ["user", "agent", "profile", "state", "viewers", "created"] as const;
export type Sort = (typeof SORTS)[number];

export interface Question {
  search: string;
  filter: Filter;
  agent: string;
  profile: string;
  user: string;
  sort: Sort;
  descending: boolean;
}

/** What the address asks; what it does not say, or says wrongly, is the default. */
export function question(params: Record<string, string>): Question {
  const wanted = params["sort"] ?? "-created";
  const sort = SORTS.find((it) => it === wanted.replace(/^-/, "")) ?? "created";
  const filter = params["state"] ?? "now";
  return {
    search: params["search"] ?? "",
    filter: Object.hasOwn(FILTERS, filter) ? (filter as Filter) : "now",
    agent: params["agent"] ?? "",
    profile: params["profile"] ?? "",
    user: params["user"] ?? "",
    sort,
    descending: wanted.startsWith("-"),
  };
}

/** The broker's address for some rows of the answer. */
export function address(asked: Question, rows: Span): string {
  const { search, agent, profile, user, sort, descending } = asked;
  const query = {
    ...FILTERS[asked.filter].query,
    search: search.trim(),
    agent,
    profile,
    user,
    sort: (descending ? "-" : "") + sort,
    skip: String(rows.first),
    limit: String(rows.end - rows.first),
  };
  const kept = Object.entries(query).filter(([, value]) => value !== "");
  return `/api/v1/sessions?${new URLSearchParams(kept)}`;
}
