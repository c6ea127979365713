// Whether a broker that owes an answer still lives: it is asked, on another connection, again and
// again. Two questions without an answer are taken for its death.
//
// A question that is late is not a dead broker's: how long one may take goes by how long they took,
// so that a slow network is borne. Calls that wait for one broker share its pulse. The command line
// has the same rule: roles/client/src/pulse.rs.

import { pause } from "./backoff.ts";

/** ms. A call that is answered sooner needs no pulse; from then on there is a beat this often. */
export const BEAT = 250;
/** The bounds of what one beat may take; the lower is `BEAT`. */
const AT_MOST = 2000;
/** What a beat may take at a broker that was never heard: handshakes and answer over a long line. */
const AT_FIRST = 600;
/** A lost packet costs about two round trips more. */
const ROUND_TRIPS = 3;
/** So many beats in a row without an answer are the end. */
const MISSES = 2;
/** A beat is listened for as long as this, to learn how slow the line is. */
const LISTEN = 5000;
/** A broker that lives may yet be cut off from the others: who owes an answer for so long is asked whether anybody leads. */
const DOUBT_AFTER = 1000;

export class Pulse {
  private lastAsked = Number.NEGATIVE_INFINITY;
  /** ms, smoothed with the weight of RFC 6298; null before the first answer. */
  private took: number | null = null;
  /** Called at the next answer. */
  private waiting = new Set<() => void>();

  constructor(
    private readonly url: string,
    private readonly fetch: typeof globalThis.fetch,
  ) {}

  /** Resolves once the broker no longer says that it lives, or says that nobody leads; or when `signal` aborts. */
  async stops(signal: AbortSignal): Promise<void> {
    await Promise.race([this.ends(signal, BEAT), this.isLeaderless(signal)]);
  }

  /** Resolves once the broker no longer says that it lives; asks once in `every` ms. */
  async ends(signal: AbortSignal, every: number): Promise<void> {
    // Where nothing is known of the line yet, the first call shall find it out.
    if (this.took !== null) await pause(every, signal);
    for (let misses = 0; !signal.aborted && misses < MISSES; ) {
      const window = this.window();
      const began = performance.now();
      const heard = await this.answerWithin(window, signal);
      misses = heard ? 0 : misses + 1;
      const spent = performance.now() - began;
      // One that was missed is made sure of at once.
      if (misses < MISSES) await pause((heard ? every : BEAT) - spent, signal);
    }
  }

  private async isLeaderless(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(DOUBT_AFTER, signal);
      if (signal.aborted) return;
      const answer = await this.get("/api/v1/cluster", {}).catch(() => null);
      const cluster = (await answer?.json().catch(() => null)) as { leader?: unknown } | null | undefined;
      if (cluster?.leader === null) return;
    }
  }

  private answerWithin(window: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (heard: boolean) => {
        clearTimeout(timer);
        this.waiting.delete(answered);
        signal.removeEventListener("abort", answered);
        resolve(heard);
      };
      const answered = () => settle(true);
      const timer = setTimeout(() => settle(false), window);
      signal.addEventListener("abort", answered);
      this.waiting.add(answered);
      void this.ask(window);
    });
  }

  /** Sends a beat, unless another call's is younger than half of the window. */
  private async ask(window: number): Promise<void> {
    const now = performance.now();
    if (now - this.lastAsked < window / 2) return;
    this.lastAsked = now;
    try {
      // Any answer will do, so its content may stay unreadable.
      await this.get("/healthz", { mode: "no-cors" });
    } catch {
      return;
    }
    const took = performance.now() - now;
    this.took = this.took === null ? took : (this.took * 7 + took) / 8;
    for (const answered of [...this.waiting]) answered();
  }

  private window(): number {
    if (this.took === null) return AT_FIRST;
    return Math.min(AT_MOST, Math.max(BEAT, this.took * ROUND_TRIPS));
  }

  private async get(path: string, init: RequestInit): Promise<Response> {
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(), LISTEN);
    try {
      return await this.fetch(this.url + path, { ...init, credentials: "omit", cache: "no-store", signal: giveUp.signal });
    } finally {
      clearTimeout(timer);
    }
  }
}
