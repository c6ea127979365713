import { expect, it } from "vitest";
import { bytes, counted, milliseconds, remaining, span } from "./numbers.ts";

it.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [16.4 * 2 ** 30, "16.4 GiB"],
  [512 * 2 ** 30, "512 GiB"],
])("%d bytes are %s", (value, expected) => expect(bytes(value)).toBe(expected));

it("counts", () => {
  expect([counted(1, "session"), counted(10_000, "session")]).toEqual(["1 session", "10,000 sessions"]);
  expect([milliseconds(-3), milliseconds(7_200_000)]).toEqual(["-3 ms", "7,200 s"]);
});

it.each([
  ["2026-03-01T12:00:30Z", "1 min"],
  ["2026-03-01T13:20:00Z", "1 h 20 min"],
  ["2026-03-01T14:00:00Z", "2 h"],
  ["2026-03-01T11:00:00Z", "no time"],
])("until %s is %s", (at, expected) => expect(remaining(at, Date.parse("2026-03-01T12:00:00Z"))).toBe(expected));

it.each([
  ["90", 5400],
  ["45m", 2700],
  ["2h", 7200],
  ["1h 30min", 5400],
  ["1d", 86_400],
  ["", null],
  ["soon", null],
  ["2h x", null],
])("the span %j has %s seconds", (text, expected) => expect(span(text)).toBe(expected));
