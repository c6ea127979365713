import { expect, it } from "vitest";
import type { Session } from "./api.ts";
import { label, meaning, standing } from "./standing.ts";

const NOW = Date.parse("2026-03-01T12:00:00Z");
const session: Session = {
  id: "1",
  user: "anna",
  agent: "a1",
  agent_name: "desk-1",
  profile: "xfce",
  state: "running",
  reachable: true,
  unreachable_since: null,
  viewers: 0,
  created_at: "2026-03-01T11:00:00Z",
  ended_at: null,
  reason: null,
  verified: true,
};

it.each<[Partial<Session>, string, string]>([
  [{}, "here", "Running"],
  [{ viewers: 2 }, "here", "Running, in use"],
  [{ state: "reserved" }, "coming", "Starting"],
  [{ state: "starting" }, "coming", "Starting"],
  [{ state: "starting", reachable: false }, "unreachable", "Unreachable"],
  [{ reachable: false }, "unreachable", "Unreachable"],
  [{ state: "ending" }, "ending", "Ending"],
  [{ state: "ended", reachable: false }, "ended", "Ended"],
  [{ state: "lost", reachable: false }, "lost", "Lost"],
  [{ verified: false }, "unverified", "Unverified"],
])("%o stands as %s, called %s", (fields, expected, called) => {
  const it = { ...session, ...fields };
  expect(standing(it)).toBe(expected);
  expect(label(it)).toBe(called);
});

it("says since when it is unreachable, and the evidence of a loss", () => {
  const away = { ...session, reachable: false, unreachable_since: "2026-03-01T11:59:00Z" };
  expect(meaning(away, NOW)).toContain("(1 minute ago)");
  const lost = { ...session, state: "lost" as const, reason: "lost: its keeper's lock is free" };
  expect(meaning(lost, NOW)).toContain("How that is known: its keeper's lock is free.");
});
