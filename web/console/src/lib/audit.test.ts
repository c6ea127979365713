import { describe, expect, it } from "vitest";
import type { AuditRecord } from "./api.ts";
import { extend, type Log, merge, renew } from "./audit.ts";

const record = (id: string, at: number): AuditRecord => ({ id, at: `2026-01-01T00:00:${String(at).padStart(2, "0")}Z`, decision: "login", verdict: "allowed" });
const log = (broker: string, times: number[], before: string | null): Log => ({ broker, records: times.map((it) => record(`${broker}${it}`, it)), before });
const ids = (logs: Log[]) => merge(logs).entries.map((it) => it.id);

describe("the logs of several brokers", () => {
  it("become one, newest first", () => {
    expect(ids([log("a", [9, 5, 1], null), log("b", [8, 2], null)])).toEqual(["a9", "b8", "a5", "b2", "a1"]);
  });

  it("are shown only as far back as all are known", () => {
    const logs = [log("a", [9, 8, 7], "x"), log("b", [6, 3], null)];
    expect(ids(logs)).toEqual(["a9", "a8", "a7"]);
    expect(merge(logs).more).toBe(true);
    const further = [extend(logs[0]!, { ...log("a", [4], null) }), logs[1]!];
    expect(ids(further)).toEqual(["a9", "a8", "a7", "b6", "a4", "b3"]);
    expect(merge(further).more).toBe(false);
  });

  it("hide nothing when one has nothing that fits yet but may", () => {
    expect(ids([log("a", [9], null), log("b", [], "x")])).toEqual([]);
  });
});

describe("the newest page", () => {
  it("goes before what is known", () => {
    const known = log("a", [5, 4, 3, 2], "x");
    expect(renew(known, log("a", [7, 6, 5, 4], "y"))).toEqual(log("a", [7, 6, 5, 4, 3, 2], "x"));
    expect(renew(known, log("a", [5, 4], "y"))).toEqual(known);
  });

  it("begins anew where there is a gap", () => {
    expect(renew(log("a", [5, 4], "x"), log("a", [9, 8], "y"))).toEqual(log("a", [9, 8], "y"));
    expect(renew(undefined, log("a", [9, 8], "y"))).toEqual(log("a", [9, 8], "y"));
  });
});
