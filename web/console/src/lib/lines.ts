// A configuration's text by lines: what is wrong in which, and what a change changes.

import { structuredPatch } from "diff";

export interface LineProblem {
  /** From 1; null when it is about the whole text. */
  line: number | null;
  text: string;
}

/** `cluster.toml:12: pool.name: …`, as brokers say it. */
export function lineProblem(problem: string): LineProblem {
  const [, line, text] = /^[^:\n]*:(\d+):\s*([^]*)$/.exec(problem) ?? [];
  if (line !== undefined && text !== undefined) return { line: Number(line), text };
  return { line: null, text: problem.replace(/^cluster\.toml:\s*/, "") };
}

export interface DiffLine {
  kind: "same" | "gone" | "new" | "gap";
  text: string;
  /** Its number in the older text and in the newer one. */
  before: number | null;
  after: number | null;
}

/** Lines around each change. */
const CONTEXT = 3;

/** What changes from `before` to `after`; empty when nothing does. */
export function difference(before: string, after: string): DiffLine[] {
  const { hunks } = structuredPatch("", "", before, after, undefined, undefined, { context: CONTEXT });
  const lines: DiffLine[] = [];
  for (const hunk of hunks) {
    let [old, fresh] = [hunk.oldStart, hunk.newStart];
    if (lines.length > 0) lines.push({ kind: "gap", text: "", before: null, after: null });
    for (const line of hunk.lines) {
      const text = line.slice(1);
      if (line.startsWith("-")) lines.push({ kind: "gone", text, before: old++, after: null });
      else if (line.startsWith("+")) lines.push({ kind: "new", text, before: null, after: fresh++ });
      else if (line.startsWith(" ")) lines.push({ kind: "same", text, before: old++, after: fresh++ });
    }
  }
  return lines;
}

/** Where line `number` begins and ends in `text`, for selecting it. */
export function lineSpan(text: string, number: number): [start: number, end: number] {
  const lines = text.split("\n");
  const at = Math.min(number, lines.length) - 1;
  const start = lines.slice(0, at).reduce((sum, line) => sum + line.length + 1, 0);
  return [start, start + (lines[at]?.length ?? 0)];
}
