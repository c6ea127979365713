import { expect, it } from "vitest";
import { link, parse } from "./route.ts";

it("finds its way back from an address", () => {
  const params = { search: "a b&c=d", state: "running" };
  expect(parse(link("sessions", { ...params, agent: "" }))).toEqual({ page: "sessions", params });
  expect(parse("#/audit")).toEqual({ page: "audit", params: {} });
});

it.each(["", "#", "#/", "#/nowhere", "#session=1"])("shows the sessions at %j", (hash) => {
  expect(parse(hash).page).toBe("sessions");
});
