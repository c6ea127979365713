import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Brokers } from "./brokers.ts";
import { Pulse } from "./pulse.ts";

const A = "https://a.example";
const B = "https://b.example";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const wait = (ms: number, signal?: AbortSignal | null) =>
  new Promise<void>((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });

/** What each answer takes, by origin and path; for ever where null. */
type Takes = (origin: string, path: string) => number | null;

function world(takes: Takes, body: unknown = {}) {
  const asked: string[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const { origin, pathname } = new URL(String(input));
    asked.push(`${init?.method ?? "GET"} ${origin}${pathname}`);
    await wait(takes(origin, pathname) ?? 1e9, init?.signal);
    return new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } });
  };
  return { asked, fetch };
}

/** How long it took, or null if it goes on after a minute. */
async function stopsAfter(pulse: Pulse): Promise<number | null> {
  const stop = new AbortController();
  const began = performance.now();
  let took: number | null = null;
  const stopped = pulse.stops(stop.signal).then(() => (took = performance.now() - began));
  await vi.advanceTimersByTimeAsync(60_000);
  const before = took;
  stop.abort();
  await vi.runAllTimersAsync();
  await stopped;
  return before;
}

it("goes on while the broker answers, and stops within 750 ms when it falls silent", async () => {
  let silent = false;
  const pulse = new Pulse(A, world(() => (silent ? null : 2)).fetch);
  expect(await stopsAfter(pulse)).toBeNull();
  silent = true;
  expect(await stopsAfter(pulse)).toBeLessThan(760);
});

it("stops soon at a broker that was never heard", async () => {
  const pulse = new Pulse(A, world(() => null).fetch);
  expect(await stopsAfter(pulse)).toBeLessThan(1210);
});

it.each([200, 400, 700])("bears a line of %i ms", async (ms) => {
  const pulse = new Pulse(A, world(() => ms).fetch);
  expect(await stopsAfter(pulse)).toBeNull();
});

it("stops where nobody leads", async () => {
  const pulse = new Pulse(A, world(() => 2, { leader: null }).fetch);
  expect(await stopsAfter(pulse)).toBeLessThanOrEqual(1100);
});

it("is shared by the calls that wait for one broker", async () => {
  const { asked, fetch } = world(() => 2);
  const pulse = new Pulse(A, fetch);
  const stop = new AbortController();
  const all = Array.from({ length: 20 }, () => pulse.ends(stop.signal, 250));
  await vi.advanceTimersByTimeAsync(1000);
  expect(asked.length).toBeLessThan(8);
  stop.abort();
  await vi.runAllTimersAsync();
  await Promise.all(all);
});

it("a start at a broker that falls silent is answered by the next within a second", async () => {
  let silent = false;
  const { asked, fetch } = world((origin) => (origin === A && silent ? null : 2));
  const real = { fetch, pause: async () => undefined, now: () => performance.now(), chance: () => 0 };
  const brokers = new Brokers(A, [B], real);
  const call = { method: "POST", path: "/x", body: {}, key: "k" } as const;
  const first = brokers.call(call);
  await vi.advanceTimersByTimeAsync(100);
  await first;
  silent = true;
  const second = brokers.call(call);
  await vi.advanceTimersByTimeAsync(1000);
  await second;
  expect(asked.filter((it) => it.startsWith("POST"))).toEqual([`POST ${A}/x`, `POST ${A}/x`, `POST ${B}/x`]);
  expect(brokers.known()).toEqual([B, A]);
});
