import { describe, expect, it } from "vitest";
import { asked, covers, drawn } from "./window.ts";

describe("a long list", () => {
  it.each([
    ["at its top", 0, 400, 10_000, 0, 18],
    ["in the middle", 40_000, 400, 10_000, 992, 1018],
    ["at its end", 399_600, 400, 10_000, 9982, 10_000],
    ["that is short", 0, 400, 3, 0, 3],
    ["that is empty", 0, 400, 0, 0, 0],
    ["that has become shorter than what is scrolled away", 40_000, 400, 10, 10, 10],
  ])("draws what is seen and a little more, %s", (_, top, height, total, first, end) => {
    expect(drawn(top, height, 40, total)).toEqual({ first, end });
  });

  it.each([[0, 18], [92, 118], [5000, 5025], [149, 151]])("asks for whole pages around %i to %i", (first, end) => {
    const span = asked({ first, end });
    expect(span.first % 100).toBe(0);
    expect(span.end % 100).toBe(0);
    expect(span.end - span.first).toBeLessThanOrEqual(300);
    expect(covers(span, { first, end })).toBe(true);
  });

  it("knows what it has", () => {
    expect(covers({ first: 0, end: 100 }, { first: 90, end: 101 })).toBe(false);
    expect(covers({ first: 100, end: 200 }, { first: 90, end: 101 })).toBe(false);
    expect(covers({ first: 0, end: 0 }, { first: 0, end: 0 })).toBe(true);
  });
});
