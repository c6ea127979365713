// Brokers that answer as a test says, and time that passes only when waited for.

import type { World } from "./brokers.ts";

export type Answer = [status: number, body?: unknown, headers?: Record<string, string>] | "dead";

export interface Asked {
  url: string;
  method: string;
  body: unknown;
  key: string | null;
}

export class FakeWorld implements World {
  asked: Asked[] = [];
  waited: number[] = [];

  constructor(private readonly answer: (asked: Asked, n: number) => Answer) {}

  fetch: typeof fetch = async (input, init) => {
    // Whether it lives is not what is asked here.
    if (String(input).endsWith("/healthz")) return new Response("ok");
    const headers = new Headers(init?.headers);
    const body: unknown = typeof init?.body === "string" ? JSON.parse(init.body) : null;
    const asked = { url: String(input), method: init?.method ?? "GET", body, key: headers.get("idempotency-key") };
    this.asked.push(asked);
    const answer = this.answer(asked, this.asked.length);
    if (answer === "dead") throw new TypeError("Failed to fetch");
    const [status, json, more] = answer;
    const type = status < 400 ? "application/json" : "application/problem+json";
    const text = status === 204 ? null : JSON.stringify(json ?? {});
    return new Response(text, { status, headers: { "content-type": type, ...more } });
  };

  pause = async (ms: number) => void this.waited.push(ms);
  now = () => this.waited.reduce((sum, ms) => sum + ms, 0);
  chance = () => 0;
}
