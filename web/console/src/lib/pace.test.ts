import { expect, it } from "vitest";
import { wait } from "./pace.ts";

it.each([
  ["at once when the last was long ago", 5000, 1000, 20, 0],
  ["a second after a quick answer", 1100, 1000, 20, 900],
  ["ten times as long after a slow one", 2000, 1000, 400, 3000],
])("asks again %s", (_, now, ended, took, expected) => {
  expect(wait(now, ended, took)).toBe(expected);
});
