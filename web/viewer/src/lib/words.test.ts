import { expect, it } from "vitest";
import type { Advice, Phase } from "./journey.ts";
import { shown, title, words } from "./words.ts";

const NOW = Date.parse("2026-03-01T12:00:00Z");
const seeking = (advice: Advice, seen = true): Phase => ({ at: "seeking", since: 0, failures: 0, seen, advice });

const EVERY: [Phase, string][] = [
  [seeking({ is: "none" }, false), "connecting"],
  [seeking({ is: "none" }), "reconnecting"],
  [seeking({ is: "unreachable", since: "2026-03-01T11:58:00Z" }), "unreachable"],
  [seeking({ is: "only-here" }), "reconnecting"],
  [seeking({ is: "nobody" }), "reconnecting"],
  [seeking({ is: "no-picture" }), "reconnecting"],
  [{ at: "connected", since: 0, failures: 0 }, "connected"],
  [{ at: "taken-over" }, "taken-over"],
  [{ at: "ended", lost: false, reason: "logged out", sure: true }, "ended"],
  [{ at: "ended", lost: true, reason: null, sure: false }, "ended"],
  [{ at: "refused" }, "refused"],
];

it.each(EVERY)("%o shows as %s", (phase, expected) => {
  expect(shown(phase)).toBe(expected);
  expect(title("anna", phase)).toMatch(/^anna · .+ · Abide$/);
  expect(words(phase, NOW) === null).toBe(phase.at === "connected");
});

it("says since when a host is out of reach", () => {
  expect(words(seeking({ is: "unreachable", since: "2026-03-01T11:58:00Z" }), NOW)?.body).toContain("(2 minutes ago)");
});

it("says why a desktop ended, as a sentence", () => {
  expect(words({ at: "ended", lost: false, reason: "logged out", sure: true }, NOW)?.body).toBe("Logged out.");
});
