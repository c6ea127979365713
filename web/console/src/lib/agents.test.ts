import { expect, it } from "vitest";
import { agentState, pick } from "./agents.ts";
import type { Agent } from "./api.ts";

const GiB = 2 ** 30;
const agent = (name: string, fields: Partial<Agent> = {}): Agent => ({
  id: `id-${name}`,
  name,
  url: "https://x",
  reachable: true,
  unreachable_since: null,
  weight: 1,
  sessions: 0,
  reserved: 0,
  viewers: 0,
  profiles: [],
  load: { at: "", memory_available: 8 * GiB, memory_total: 16 * GiB, cpus: 4, load1: 1, clock_offset_ms: 0 },
  ...fields,
});
const DRAIN = { by: "anna", since: "", deadline: null, message: null, then: "keep" } as const;

it.each<[string, Partial<Agent>, string]>([
  ["that can take sessions", {}, "ready"],
  ["whose last start failed", { failed_at: "2026-01-01T00:00:00Z" }, "failing"],
  ["that is being emptied", { drain: DRAIN, sessions: 1 }, "draining"],
  ["that waits for its last reservation", { drain: DRAIN, reserved: 1 }, "draining"],
  ["that is empty", { drain: DRAIN }, "drained"],
  ["that nobody hears", { reachable: false, drain: DRAIN }, "unreachable"],
  ["that never spoke", { reachable: false, url: null }, "never-heard"],
])("an agent %s", (_, fields, expected) => expect(agentState(agent("a", fields))).toBe(expected));

it("sorts names as people count, and by columns", () => {
  const all = [agent("n10", { sessions: 3 }), agent("n2", { sessions: 5, labels: ["gpu"] }), agent("n1", { sessions: 3 })];
  const names = (search: string, sort: string, descending = false) => pick(all, search, sort, descending).map((it) => it.name);
  expect(names("", "name")).toEqual(["n1", "n2", "n10"]);
  expect(names("", "name", true)).toEqual(["n10", "n2", "n1"]);
  expect(names("", "sessions", true)).toEqual(["n2", "n1", "n10"]);
  expect(names("GPU", "name")).toEqual(["n2"]);
  expect(names("ready", "load")).toHaveLength(3);
});
