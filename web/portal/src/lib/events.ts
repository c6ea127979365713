// Server-sent events, read with fetch: EventSource cannot send an Authorization header.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

import { pause } from "../../../shared/backoff.ts";
import { Problem, problemFrom } from "../../../shared/problem.ts";
import type { Brokers } from "./brokers.ts";

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
/** Pause before the stream is opened again, and between two looks while there is none. */
const POLL = 2000;

/**
 * Calls `look` whenever something may have changed: on every event while the stream stands, every
 * two seconds while it does not. Returns when `signal` aborts; throws the problem if refused.
 */
export async function follow(brokers: Brokers, token: string, look: () => void, signal: AbortSignal): Promise<void> {
  for (let tries = 0; !signal.aborted; tries++) {
    const url = brokers.known()[tries % brokers.known().length]!;
    try {
      const call = { method: "GET", path: "/api/v1/events", token, signal } as const;
      const response = await brokers.open(url, call, POLL);
      if (response.status === 401) throw await problemFrom(response);
      if (response.ok && response.body) await drain(response.body, look, signal);
    } catch (error) {
      if (error instanceof Problem) throw error;
    }
    await pause(POLL, signal);
    if (!signal.aborted) look();
  }
}

async function drain(body: ReadableStream<Uint8Array>, look: () => void, signal: AbortSignal): Promise<void> {
  const reader = body.getReader();
  const stop = () => void reader.cancel().catch(() => undefined);
  signal.addEventListener("abort", stop);
  let timer = setTimeout(stop, SILENCE);
  const names = new EventNames();
  const decoder = new TextDecoder();
  // What changed before the stream stood was announced to nobody.
  look();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(stop, SILENCE);
      if (names.push(decoder.decode(value, { stream: true })).length > 0) look();
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}
