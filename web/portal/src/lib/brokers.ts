// Calls to whichever broker answers. A broker that does not is passed over for the next; when none
// does, the call waits and goes round again, so that a failover costs time and no answer.
//
// Safe to repeat is every call made here: reads by nature, ends and abandons because they change
// nothing the second time, starts and connects by their Idempotency-Key.

import { backoff, type Chance, pause } from "../../../shared/backoff.ts";
import { Problem, problemFrom } from "../../../shared/problem.ts";

/** The broker gave no answer of its own: nothing listens, the line broke, or a proxy stood in. */
export class Silent extends Error {
  constructor(
    /** ms to wait before the next try, where the server named it. */
    readonly retryAfter: number | null = null,
    options?: ErrorOptions,
  ) {
    super("The broker does not answer.", options);
  }
}

export interface Call {
  method: "GET" | "POST" | "DELETE";
  path: string;
  body?: unknown;
  token?: string;
  /** Idempotency-Key; the same for all tries of one click. */
  key?: string;
  /**
   * ms after which one try counts as unanswered. During a long one the broker is asked now and then
   * whether it still lives, so that a host that was cut off is noticed all the same.
   */
  tryFor?: number;
  /** ms after which the whole call is given up; for ever if absent. */
  patience?: number;
  signal?: AbortSignal;
}

export interface World {
  fetch: typeof fetch;
  pause: typeof pause;
  now: () => number;
  chance: Chance;
}

const REAL: World = {
  fetch: (...args) => fetch(...args),
  pause,
  now: () => performance.now(),
  chance: Math.random,
};

/** What a read may take before another broker is asked. */
const TRY_FOR = 5000;
/** How often a broker that works on a long call is asked whether it lives, and how fast it must say so. */
const PULSE_EVERY = 3000;
const PULSE_WITHIN = 2000;
/** The longest wait between two rounds, also when a server asks for more. */
const LONGEST_WAIT = 2000;

export class Brokers {
  /** INVARIANT: never empty, no origin twice; the first is the one that answered last. */
  private urls: string[];

  /** Called when a whole round found nobody (true), and when that is over or nobody waits any more (false). */
  onTrouble: (none: boolean) => void = () => {};

  constructor(
    own: string,
    known: string[] = [],
    private readonly world: World = REAL,
  ) {
    this.urls = [origin(own)];
    this.learn(known);
  }

  /** Adds brokers; takes none away, since the address this page came from may be a floating one. */
  learn(urls: string[]): void {
    this.urls = [...new Set([...this.urls, ...urls.map(origin)])];
  }

  known(): readonly string[] {
    return this.urls;
  }

  /** The answer's JSON (undefined for 204); throws `Problem` when refused, `Silent` when given up. */
  async call<T>(call: Call): Promise<T> {
    const start = this.world.now();
    for (let round = 0; ; round++) {
      let silent = new Silent();
      for (const url of [...this.urls]) {
        try {
          const answer = await this.once<T>(url, call);
          this.prefer(url);
          this.onTrouble(false);
          return answer;
        } catch (error) {
          if (!(error instanceof Silent) || call.signal?.aborted) {
            this.onTrouble(false);
            throw error;
          }
          silent = error;
          this.passOver(url);
        }
      }
      this.onTrouble(true);
      const wait = silent.retryAfter ?? backoff(round, 200, LONGEST_WAIT, this.world.chance);
      const spent = this.world.now() - start;
      const patient = spent + wait <= (call.patience ?? Number.POSITIVE_INFINITY);
      if (patient) await this.world.pause(Math.min(wait, LONGEST_WAIT), call.signal);
      if (patient && !call.signal?.aborted) continue;
      // Nobody tries any more. A call that still does says so again.
      this.onTrouble(false);
      throw silent;
    }
  }

  /** One try at one broker. */
  async once<T>(url: string, call: Call): Promise<T> {
    const response = await this.open(url, call, call.tryFor ?? TRY_FOR);
    if (response.status === 204) return undefined as T;
    if (response.ok) return (await response.json().catch(silence)) as T;
    const problem = await problemFrom(response);
    if (standsIn(problem)) {
      throw new Silent(seconds(response.headers.get("retry-after")), { cause: problem });
    }
    throw problem;
  }

  /** Sends one request; gives up when no headers came within `tryFor` ms. */
  async open(url: string, call: Call, tryFor: number): Promise<Response> {
    const headers = new Headers({ Accept: "application/json" });
    if (call.body !== undefined) headers.set("Content-Type", "application/json");
    if (call.token) headers.set("Authorization", `Bearer ${call.token}`);
    if (call.key) headers.set("Idempotency-Key", call.key);
    const giveUp = new AbortController();
    const abort = () => giveUp.abort();
    const timer = setTimeout(abort, tryFor);
    const pulse = setInterval(() => void this.alive(url).catch(abort), PULSE_EVERY);
    call.signal?.addEventListener("abort", abort);
    try {
      return await this.world.fetch(url + call.path, {
        method: call.method,
        headers,
        body: call.body === undefined ? null : JSON.stringify(call.body),
        credentials: "omit",
        cache: "no-store",
        signal: giveUp.signal,
      });
    } catch (error) {
      return silence(error);
    } finally {
      clearTimeout(timer);
      clearInterval(pulse);
      // A stream's reader cancels by itself; an answer that has begun is read to its end.
      call.signal?.removeEventListener("abort", abort);
    }
  }

  /** Asks this one last from now on. */
  passOver(url: string): void {
    this.urls = [...this.urls.filter((it) => it !== url), url];
  }

  private prefer(url: string): void {
    this.urls = [url, ...this.urls.filter((it) => it !== url)];
  }

  /** Any answer will do, so its content may stay unreadable. */
  private async alive(url: string): Promise<void> {
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(), PULSE_WITHIN);
    try {
      const signal = giveUp.signal;
      await this.world.fetch(`${url}/healthz`, { mode: "no-cors", credentials: "omit", cache: "no-store", signal });
    } finally {
      clearTimeout(timer);
    }
  }
}

function origin(url: string): string {
  return new URL(url).origin;
}

function silence(cause: unknown): never {
  throw new Silent(null, { cause });
}

/** Whether this says only that nobody could answer: a proxy's word, or a broker's without a leader. */
function standsIn(problem: Problem): boolean {
  if (![502, 503, 504].includes(problem.status)) return false;
  return problem.document.type === undefined || problem.is("unavailable");
}

function seconds(header: string | null): number | null {
  const value = Number(header ?? Number.NaN);
  return Number.isFinite(value) && value >= 0 ? value * 1000 : null;
}
