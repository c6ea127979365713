// Server-sent events, read with fetch: EventSource cannot send an Authorization header.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

import { pause } from "./backoff.ts";
import { Problem, problemFrom } from "./problem.ts";
import type { Brokers } from "./brokers.ts";
import type { Pulse } from "./pulse.ts";

/** Cuts a stream of text into events and names them; data is not kept, since nobody needs it. */
export class EventNames {
  private rest = "";
  private name = "message";
  private data = false;

  /** The names of the events that `text` completed. */
  push(text: string): string[] {
    this.rest += text;
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    const names: string[] = [];
    for (const line of lines) {
      if (line === "") {
        if (this.data) names.push(this.name);
        this.name = "message";
        this.data = false;
      } else if (line.startsWith("event:")) {
        this.name = line.slice(6).trim();
      } else if (line.startsWith("data:") || line === "data") {
        this.data = true;
      }
    }
    return names;
  }
}

/** A stream that says nothing for this long, keep-alive comments included, is taken for dead. */
const SILENCE = 45_000;
/** How often its broker is asked meanwhile whether it lives; a cut line says nothing by itself. */
const BEAT = 5000;
/** What opening may take; and the pause before a stream that ended at once is opened again. */
const POLL = 2000;

/** What may have changed: the names of the events, or `null` for anything. */
export type Look = (names: string[] | null) => void;

/**
 * Calls `look` whenever something may have changed: on every event while the stream stands, every
 * two seconds while it does not. A stream that breaks is taken up at the next broker at once.
 * Returns when `signal` aborts; throws the problem if refused.
 */
export async function follow(brokers: Brokers, token: string, look: Look, signal: AbortSignal): Promise<void> {
  let inVain = 0;
  while (!signal.aborted) {
    const url = brokers.known()[0]!;
    const began = performance.now();
    try {
      const call = { method: "GET", path: "/api/v1/events", token, signal } as const;
      const response = await brokers.open(url, call, POLL);
      if (response.status === 401) throw await problemFrom(response);
      if (response.ok && response.body) await drain(response.body, look, brokers.pulse(url), signal);
    } catch (error) {
      if (error instanceof Problem) throw error;
    }
    if (signal.aborted) return;
    brokers.passOver(url);
    inVain = performance.now() - began < POLL ? inVain + 1 : 0;
    if (inVain >= brokers.known().length) {
      inVain = 0;
      await pause(POLL, signal);
    }
    if (!signal.aborted) look(null);
  }
}

async function drain(
  body: ReadableStream<Uint8Array>,
  look: Look,
  pulse: Pulse,
  signal: AbortSignal,
): Promise<void> {
  const reader = body.getReader();
  const stop = () => void reader.cancel().catch(() => undefined);
  signal.addEventListener("abort", stop);
  const over = new AbortController();
  void pulse.ends(over.signal, BEAT).then(stop);
  let timer = setTimeout(stop, SILENCE);
  const names = new EventNames();
  const decoder = new TextDecoder();
  // What changed before the stream stood was announced to nobody.
  look(null);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(stop, SILENCE);
      const told = names.push(decoder.decode(value, { stream: true }));
      if (told.length > 0) look(told);
    }
  } finally {
    clearTimeout(timer);
    over.abort();
    signal.removeEventListener("abort", stop);
  }
}
