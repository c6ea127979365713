import { expect, it } from "vitest";
import { EventNames } from "./events.ts";

/** The names found when `text` comes in pieces of `size`. */
function names(text: string, size: number): string[] {
  const parser = new EventNames();
  const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
  return pieces.flatMap((it) => parser.push(it));
}

const STREAM = ": hello\n\nevent: sessions\ndata: {}\n\ndata: 1\ndata: 2\n\nevent: none\n\nevent:agents\r\ndata\r\n\r\nevent: cut";

it.each([1, 2, 3, 7, 1000])("finds the events of a stream in pieces of %i", (size) => {
  expect(names(STREAM, size)).toEqual(["sessions", "message", "agents"]);
});
