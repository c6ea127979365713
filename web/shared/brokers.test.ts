import { describe, expect, it } from "vitest";
import { Problem } from "./problem.ts";
import { Brokers, type Call, Silent } from "./brokers.ts";
import { type Answer, type Asked, FakeWorld } from "./world.test-help.ts";

const A = "https://a.example";
const B = "https://b.example";
const LOOK: Call = { method: "GET", path: "/x" };

function setUp(answer: (asked: Asked, n: number) => Answer, known = [`${B}/`]) {
  const world = new FakeWorld(answer);
  const brokers = new Brokers(A, known, world);
  const trouble: boolean[] = [];
  brokers.onTrouble = (none) => trouble.push(none);
  return { world, brokers, trouble };
}

const urls = (world: FakeWorld) => world.asked.map((it) => new URL(it.url).origin);

describe("a call", () => {
  it("goes to the next broker when one is dead, and stays there", async () => {
    const { world, brokers, trouble } = setUp((it) => (it.url.startsWith(A) ? "dead" : [200, { ok: 1 }]));
    expect(await brokers.call(LOOK)).toEqual({ ok: 1 });
    await brokers.call(LOOK);
    expect(urls(world)).toEqual([A, B, B]);
    expect(world.waited).toEqual([]);
    expect(trouble).not.toContain(true);
  });

  it("waits and goes round again when none answers, with the same key", async () => {
    const { world, brokers, trouble } = setUp((_, n) => (n < 8 ? "dead" : [200, {}]));
    await brokers.call({ method: "POST", path: "/x", body: { a: 1 }, key: "k" });
    expect(world.waited).toEqual([50, 100, 200]);
    expect(new Set(world.asked.map((it) => `${it.key} ${JSON.stringify(it.body)}`))).toEqual(new Set(['k {"a":1}']));
    expect(trouble).toEqual([true, true, true, false]);
  });

  it("gives up when its patience ends", async () => {
    const { world, brokers, trouble } = setUp(() => "dead");
    await expect(brokers.call({ ...LOOK, patience: 3000 })).rejects.toBeInstanceOf(Silent);
    expect(trouble.at(-1)).toBe(false);
    expect(world.now()).toBeLessThanOrEqual(3000);
  });

  it.each<[string, Answer, boolean]>([
    ["a broker without a leader", [503, { type: "urn:abide:problem/unavailable" }, { "retry-after": "1" }], true],
    ["a proxy's error page", [502, undefined, { "content-type": "text/html" }], true],
    ["no agent has room", [503, { type: "urn:abide:problem/no-agent" }], false],
    ["a start that failed", [502, { type: "urn:abide:problem/start-failed" }], false],
    ["a conflict", [409, { type: "urn:abide:problem/conflict" }], false],
  ])("tried again for %s? %o", async (_, answer, again) => {
    const { world, brokers } = setUp((_, n) => (n === 1 ? answer : [200, {}]), []);
    const result = brokers.call(LOOK);
    if (again) await result;
    else await expect(result).rejects.toBeInstanceOf(Problem);
    expect(world.asked.length).toBe(again ? 2 : 1);
  });

  it("waits as long as the server asks, but two seconds at most", async () => {
    const { world, brokers } = setUp(
      (_, n) => (n === 1 ? [503, {}, { "retry-after": "1" }] : n === 2 ? [503, {}, { "retry-after": "600" }] : [200, {}]),
      [],
    );
    await brokers.call(LOOK);
    expect(world.waited).toEqual([1000, 2000]);
  });

  it("waits but shortly after the first round of several, whatever one asks for", async () => {
    const { world, brokers } = setUp((_, n) => (n < 3 ? [503, {}, { "retry-after": "2" }] : [200, {}]));
    await brokers.call(LOOK);
    expect(world.waited).toEqual([50]);
  });

  it("gives the refusal's own words", async () => {
    const { brokers } = setUp(() => [409, { type: "urn:abide:problem/session-unreachable", title: "T", detail: "D" }]);
    const problem = await brokers.call(LOOK).catch((it: unknown) => it);
    expect(problem).toMatchObject({ status: 409, title: "T", detail: "D" });
    expect((problem as Problem).is("session-unreachable")).toBe(true);
  });

  it("forgets what the cluster no longer lists, but never where the page came from", async () => {
    const { brokers } = setUp(() => [200, { brokers: [{ id: "c", url: "https://c.example/" }] }]);
    await brokers.discover(new AbortController().signal);
    expect(brokers.known()).toEqual([A, "https://c.example"]);
  });

  it("knows each broker once", () => {
    const { brokers } = setUp(() => "dead", [`${A}/`, B, `${B}/`]);
    expect(brokers.known()).toEqual([A, B]);
  });
});
