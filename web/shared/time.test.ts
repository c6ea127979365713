import { expect, it } from "vitest";
import { ago } from "./time.ts";

const NOW = Date.parse("2026-03-01T12:00:00Z");

it.each([
  [0, "just now"],
  [-30, "just now"],
  [4, "just now"],
  [5, "5 seconds ago"],
  [59, "59 seconds ago"],
  [60, "1 minute ago"],
  [3599, "59 minutes ago"],
  [7200, "2 hours ago"],
  [86_400, "1 day ago"],
  [10 * 86_400, "10 days ago"],
])("%i seconds before is %s", (seconds, expected) => {
  expect(ago(new Date(NOW - seconds * 1000).toISOString(), NOW)).toBe(expected);
});

it("does not invent a time", () => {
  expect(ago("never", NOW)).toBe("at an unknown time");
});
