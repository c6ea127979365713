// An agent's last hour as columns of numbers, as charts want them.

import type { History, Sample } from "./api.ts";

/** Seconds since 1970, then one column for each thing that is drawn; null where nothing was heard. */
export type Columns = [number[], ...(number | null)[][]];

type Key = Exclude<keyof Sample, "at">;

/**
 * Samples come every so many seconds; where one is missing its time follows from its neighbours',
 * and the line has a gap there.
 */
export function columns(history: History, keys: Key[]): Columns {
  const { samples, every_s } = history;
  const known = samples.findIndex((it) => it !== null);
  if (known === -1) return [[], ...keys.map(() => [])];
  const start = Date.parse(samples[known]!.at) / 1000 - known * every_s;
  const times = samples.map((it, at) => (it ? Date.parse(it.at) / 1000 : start + at * every_s));
  return [times, ...keys.map((key) => samples.map((it) => it?.[key] ?? null))];
}

/** The newest value and the highest one of the hour. */
export function extremes(history: History, key: Key): { last: number; most: number } | null {
  const values = history.samples.flatMap((it) => (it ? [it[key]] : []));
  const last = values.at(-1);
  return last === undefined ? null : { last, most: Math.max(...values) };
}
