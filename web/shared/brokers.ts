// Calls to whichever broker answers. A broker that does not is passed over for the next; when none
// does, the call waits and goes round again, so that a failover costs time and no answer.
//
// Safe to repeat is every call made here: reads by nature, ends and abandons because they change
// nothing the second time, starts and connects by their Idempotency-Key.

import { backoff, type Chance, pause } from "./backoff.ts";
import type { Cluster } from "./api.ts";
import { Problem, problemFrom } from "./problem.ts";
import { Pulse } from "./pulse.ts";

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
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  body?: unknown;
  token?: string;
  /** Idempotency-Key; the same for all tries of one click. */
  key?: string;
  /** ms after which one try counts as unanswered, though the broker lives. */
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

/** What a read may take before another broker is asked, though this one lives. */
const TRY_FOR = 5000;
/** Between two rounds; between two brokers there is no wait. */
const FIRST_WAIT = 50;
/** The longest wait between two rounds, also when a server asks for more. */
const LONGEST_WAIT = 2000;

export class Brokers {
  /** INVARIANT: never empty, no origin twice; the first is the one that answered last. */
  private urls: string[];
  private readonly own: string;
  private readonly pulses = new Map<string, Pulse>();

  /** Called when a whole round found nobody (true), and when that is over or nobody waits any more (false). */
  onTrouble: (none: boolean) => void = () => {};

  constructor(
    own: string,
    known: string[] = [],
    private readonly world: World = REAL,
  ) {
    this.own = origin(own);
    this.urls = [this.own];
    this.learn(known);
  }

  /**
   * Takes the cluster's own list: adds what is new and forgets what it leaves out, but for the
   * address that this page came from, which may be a floating one.
   */
  learn(urls: string[]): void {
    if (urls.length === 0) return;
    const listed = urls.map(origin);
    const kept = this.urls.filter((it) => it === this.own || listed.includes(it));
    this.urls = [...new Set([...kept, ...listed])];
  }

  /** Asks for that list, which needs no login, and gives what came with it. */
  async discover(signal: AbortSignal): Promise<Cluster> {
    const cluster = await this.call<Cluster>({ method: "GET", path: "/api/v1/cluster", signal });
    this.learn(cluster.brokers.map((it) => it.url));
    return cluster;
  }

  pulse(url: string): Pulse {
    const known = this.pulses.get(url) ?? new Pulse(url, this.world.fetch);
    this.pulses.set(url, known);
    return known;
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
      // What one of several asks for is about itself. By the time the round is over another may lead.
      const asked = round > 0 || this.urls.length === 1 ? silent.retryAfter : null;
      const wait = asked ?? backoff(round, FIRST_WAIT, LONGEST_WAIT, this.world.chance);
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

  /** Sends one request; gives up when the broker falls silent, or no headers came within `tryFor` ms. */
  async open(url: string, call: Call, tryFor: number): Promise<Response> {
    const headers = new Headers({ Accept: "application/json" });
    if (call.body !== undefined) headers.set("Content-Type", "application/json");
    if (call.token) headers.set("Authorization", `Bearer ${call.token}`);
    if (call.key) headers.set("Idempotency-Key", call.key);
    const giveUp = new AbortController();
    const abort = () => giveUp.abort();
    const timer = setTimeout(abort, tryFor);
    const answered = new AbortController();
    void this.pulse(url)
      .stops(answered.signal)
      .then(() => answered.signal.aborted || abort());
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
      answered.abort();
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
