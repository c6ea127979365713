import { expect, it } from "vitest";
import { Chord } from "./chord.ts";

/** "+Key" is down, "-Key" is up; gives whether any of them ended the chord. */
function press(...keys: string[]): boolean {
  const chord = new Chord();
  return keys.map((it) => (it.startsWith("+") ? chord.keydown(it.slice(1)) : chord.keyup(it.slice(1)))).includes(true);
}

it.each([
  [["+Control", "+Alt", "+Shift", "-Shift", "-Alt", "-Control"], true],
  [["+Shift", "+Control", "+Meta", "-Control", "-Shift", "-Meta"], true],
  [["+Control", "+Alt", "-Alt", "-Control"], false],
  [["+Control", "+Alt", "+Shift", "+t", "-t", "-Shift", "-Alt", "-Control"], false],
])("%s", (keys, expected) => {
  expect(press(...keys)).toBe(expected);
});

it("starts afresh after a key that spoilt it", () => {
  const spoilt = ["+Control", "+c", "-c", "-Control"];
  expect(press(...spoilt, "+Control", "+Alt", "+Shift", "-Control", "-Alt", "-Shift")).toBe(true);
});
