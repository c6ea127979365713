import { expect, it } from "vitest";
import type { History, Sample } from "./api.ts";
import { columns, extremes } from "./history.ts";

const sample = (s: number, sessions: number): Sample => ({ at: new Date(s * 1000).toISOString(), sessions, viewers: 0, load1: 0.5, memory_available: 50, cpu_pressure: 0, memory_pressure: 0 });
const history = (samples: (Sample | null)[]): History => ({ agent: "a", answered_by: "b", every_s: 10, samples });

it("leaves a gap where nothing was heard", () => {
  const it = history([null, sample(20, 3), null, sample(41, 5)]);
  expect(columns(it, ["sessions", "load1"])).toEqual([
    [10, 20, 30, 41],
    [null, 3, null, 5],
    [null, 0.5, null, 0.5],
  ]);
  expect(extremes(it, "sessions")).toEqual({ last: 5, most: 5 });
});

it("draws nothing of nothing", () => {
  expect(columns(history([null, null]), ["sessions"])).toEqual([[], []]);
  expect(extremes(history([null]), "sessions")).toBeNull();
});
