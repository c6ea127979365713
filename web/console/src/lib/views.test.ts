import { expect, it } from "vitest";
import type { Cluster } from "./api.ts";
import { best, disagree, margin, type View } from "./views.ts";

const cluster = (answered_by: string, leader: string | null, fields: Partial<Cluster> = {}): Cluster => ({
  cluster: "c",
  answered_by,
  leader,
  brokers: [],
  generation: 1,
  term: 1,
  voters: 3,
  can_lose: 1,
  clock_problem: null,
  ...fields,
});
const view = (id: string, it: Cluster | null): View => ({ id, url: `https://${id}`, cluster: it });

it("goes by the leader's own answer, of several by the latest", () => {
  const [a, b, c] = [cluster("a", "b"), cluster("b", "b"), cluster("c", "c", { term: 2 })];
  expect(best([view("a", a), view("b", b)], a)).toBe(b);
  expect(best([view("b", b), view("c", c)], b)).toBe(c);
  expect(best([view("a", a), view("b", null)], a)).toBe(a);
});

it("sees that brokers disagree, but not because one is silent", () => {
  expect(disagree([view("a", cluster("a", "b")), view("b", null)])).toBe(false);
  expect(disagree([view("a", cluster("a", "b")), view("b", cluster("b", null))])).toBe(true);
});

it.each<[Partial<Cluster>, string, string]>([
  [{}, "good", "1 more of 3"],
  [{ can_lose: 0 }, "warn", "No further broker"],
  [{ can_lose: 0, voters: 1 }, "warn", "One broker alone"],
  [{ leader: null }, "bad", "No broker leads"],
])("says how much may still fail: %o", (fields, tone, text) => {
  const said = margin(cluster("a", "a", fields));
  expect(said.tone).toBe(tone);
  expect(said.text).toContain(text);
});
