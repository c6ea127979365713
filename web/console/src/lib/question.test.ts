import { expect, it } from "vitest";
import { address, question } from "./question.ts";

const asked = (params: Record<string, string>) => Object.fromEntries(new URL(address(question(params), { first: 100, end: 300 }), "http://x").searchParams);

it("asks for what goes on now, newest first, where nothing else is said", () => {
  expect(asked({})).toEqual({ state: "reserved,starting,running,ending", sort: "-created", skip: "100", limit: "200" });
});

it("asks for what the address says", () => {
  expect(asked({ search: " a&b ", state: "unreachable", agent: "a1", sort: "user" })).toEqual({
    state: "reserved,starting,running,ending",
    reachable: "false",
    search: "a&b",
    agent: "a1",
    sort: "user",
    skip: "100",
    limit: "200",
  });
});

it("takes an address that is wrong for none", () => {
  expect(asked({ state: "toString", sort: "-colour" })).toMatchObject({ sort: "-created" });
});
