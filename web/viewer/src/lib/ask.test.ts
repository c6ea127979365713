import { afterEach, describe, expect, it, vi } from "vitest";
import { askAgent, askBrokers, livingBroker } from "./ask.ts";

afterEach(() => vi.unstubAllGlobals());

/** Answers each URL by its beginning; anything else fails like a dead server. */
function world(answers: Record<string, [status: number, body: unknown]>) {
  const asked = vi.fn(async (url: string, _init?: RequestInit) => {
    const found = Object.entries(answers).find(([beginning]) => url.startsWith(beginning));
    if (!found) throw new TypeError("network");
    const [, [status, body]] = found;
    const headers = { "content-type": status < 400 ? "application/json" : "application/problem+json" };
    return new Response(JSON.stringify(body), { status, headers });
  });
  vi.stubGlobal("fetch", asked);
  return asked;
}

const status = { id: "1", state: "running", reachable: true, unreachable_since: null, reason: null };

describe("the agent's answer", () => {
  it.each([
    [200, "welcome"],
    [401, "refused"],
    [403, "refused"],
    [410, "over"],
    [500, "silent"],
    [503, "silent"],
  ])("%i is %s", async (code, is) => {
    world({ "https://desk/": [code, {}] });
    expect((await askAgent("https://desk/s/1/2/rfb/state")).is).toBe(is);
  });

  it("is silence when nothing listens", async () => {
    world({});
    expect(await askAgent("https://desk/s/1/2/rfb/state")).toEqual({ is: "silent" });
  });
});

describe("the link to the portal", () => {
  it("is a broker's that answers, also with a refusal", async () => {
    world({ "https://b/healthz": [404, {}] });
    expect(await livingBroker(["https://a", "https://b/"])).toBe("https://b/");
  });

  it("is nobody's when none does", async () => {
    world({});
    expect(await livingBroker(["https://a", "https://b/"])).toBeNull();
  });
});

describe("the brokers' answer", () => {
  const ask = () => askBrokers(["https://a", "https://b/"], "1", "secret");

  it("comes from the first that has one, and is asked with the status token only", async () => {
    const asked = world({ "https://b/api/v1/sessions/1/status": [200, { ...status, reachable: false, unreachable_since: "then" }] });
    expect(await ask()).toEqual({ is: "advice", advice: { is: "unreachable", since: "then" }, broker: "https://b/" });
    expect(asked.mock.calls[0]?.[1]).toMatchObject({ headers: { Authorization: "Bearer secret" }, credentials: "omit" });
  });

  it("tells a fault in between from one of the host", async () => {
    world({ "https://a": [200, status] });
    expect(await ask()).toMatchObject({ advice: { is: "only-here" } });
  });

  it.each(["ended", "lost"])("names the reason of a session that is %s", async (state) => {
    world({ "https://a": [200, { ...status, state, reason: "because" }] });
    expect(await ask()).toEqual({ is: "over", lost: state === "lost", reason: "because", broker: "https://a" });
  });

  it("is nobody's when none answers or none believes the token", async () => {
    world({ "https://a": [401, {}] });
    expect(await ask()).toEqual({ is: "advice", advice: { is: "nobody" }, broker: null });
  });
});
