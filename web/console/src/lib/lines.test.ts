import { expect, it } from "vitest";
import { difference, lineProblem, lineSpan } from "./lines.ts";

it.each([
  ["cluster.toml:2: shadow.mode: unknown", { line: 2, text: "shadow.mode: unknown" }],
  ["cluster.toml: it is too long", { line: null, text: "it is too long" }],
  ["no pool is for everybody", { line: null, text: "no pool is for everybody" }],
])("%j is about a line", (problem, expected) => {
  expect(lineProblem(problem)).toEqual(expected);
});

it("says what changes, with the lines around it", () => {
  const before = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
  const after = before.replace("b\n", "").replace("k\n", "K\n");
  const signs = { same: " ", gone: "-", new: "+", gap: "…" };
  const short = difference(before, after).map((it) => signs[it.kind] + it.text);
  expect(short).toEqual([" a", "-b", " c", " d", " e", "…", " h", " i", " j", "-k", "+K", " l"]);
  expect(difference(before, after).find((it) => it.kind === "new")).toEqual({ kind: "new", text: "K", before: null, after: 10 });
  expect(difference(before, before)).toEqual([]);
  expect(difference("", "x\n").map((it) => it.kind)).toEqual(["new"]);
});

it("finds a line in a text", () => {
  expect(lineSpan("ab\ncd\nef", 2)).toEqual([3, 5]);
  expect(lineSpan("ab", 9)).toEqual([0, 2]);
});
