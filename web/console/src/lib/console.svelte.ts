// What all pages of the console use: calls in the administrator's name, and the news that something
// has changed.

import { getContext, onDestroy, setContext } from "svelte";
import type { Account, Connected, Session } from "../../../shared/api.ts";
import { type Brokers, type Call, Silent } from "../../../shared/brokers.ts";
import { follow } from "../../../shared/events.ts";
import { leaveFor } from "../../../shared/leave.ts";
import type { SignedIn } from "../../../shared/memory.ts";
import { Problem } from "../../../shared/problem.ts";
import { Live } from "./live.svelte.ts";

/** What brokers announce changes of. */
export type Topic = "sessions" | "agents" | "cluster" | "config";

/** Something that was asked for by hand is given up after this, ms. */
const PATIENCE = 30_000;

export class Console {
  /** Null until a broker has said who this is. */
  account: Account | null = $state.raw(null);
  /** ms since 1970; once a second. */
  now = $state(Date.now());

  private readonly stop = new AbortController();
  private readonly listeners = new Set<{ topics: readonly Topic[]; look: () => void }>();
  private readonly clock = setInterval(() => (this.now = Date.now()), 1000);

  constructor(
    readonly brokers: Brokers,
    readonly me: SignedIn,
    private readonly signedOut: () => void,
  ) {}

  open(): void {
    this.call<Account>({ method: "GET", path: "/api/v1/account" })
      .then((account) => {
        this.account = account;
        if (account.admin) return follow(this.brokers, this.me.token, (names) => this.tell(names), this.stop.signal);
      })
      .catch((error) => this.fail(error));
  }

  close(): void {
    this.stop.abort();
    clearInterval(this.clock);
  }

  /** An answer that is asked for again when one of `topics` changes; ends with the component. */
  live<T>(topics: readonly Topic[], ask: (signal: AbortSignal) => Promise<T>): Live<T> {
    const live = new Live(ask);
    const listener = { topics, look: () => live.soon() };
    this.listeners.add(listener);
    onDestroy(() => {
      this.listeners.delete(listener);
      live.close();
    });
    return live;
  }

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.call<T>({ method: "GET", path, ...(signal && { signal }) });
  }

  /** Throws `Problem` when refused, also when no broker answers a change in time. */
  async call<T>(call: Call): Promise<T> {
    const patience = call.method === "GET" ? {} : { patience: PATIENCE };
    try {
      return await this.brokers.call<T>({ signal: this.stop.signal, ...patience, ...call, token: this.me.token });
    } catch (error) {
      throw this.known(error);
    }
  }

  /** Asks this broker and no other; null when it does not answer. */
  async ask<T>(url: string, path: string, signal: AbortSignal): Promise<T | null> {
    try {
      return await this.brokers.once<T>(url, { method: "GET", path, token: this.me.token, signal });
    } catch (error) {
      if (error instanceof Silent) return null;
      throw this.known(error);
    }
  }

  end(session: Session): Promise<void> {
    return this.call({ method: "DELETE", path: `/api/v1/sessions/${session.id}` });
  }

  abandon(session: Session): Promise<void> {
    return this.call({ method: "POST", path: `/api/v1/sessions/${session.id}/abandon` });
  }

  /** Opens a viewer in a tab of its own. */
  async shadow(session: Session, control: boolean): Promise<void> {
    const path = `/api/v1/sessions/${session.id}/shadow`;
    const { connect } = await this.call<Connected>({ method: "POST", path, body: { control } });
    leaveFor(connect, () => location.reload(), "_blank");
  }

  async logout(): Promise<void> {
    // Somebody who leaves must not be kept by a broker that does not answer.
    await this.call({ method: "POST", path: "/api/v1/logout", body: {}, patience: 2000 }).catch(() => undefined);
    this.signedOut();
  }

  private tell(names: string[] | null): void {
    for (const { topics, look } of this.listeners) {
      if (names === null || topics.some((it) => names.includes(it))) look();
    }
  }

  private known(error: unknown): unknown {
    if (error instanceof Silent) {
      return new Problem(503, { title: error.message, detail: "It is not known whether the change was made. Look again, then try again." });
    }
    this.fail(error);
    return error;
  }

  private fail(error: unknown): void {
    if (this.stop.signal.aborted) return;
    if (error instanceof Problem && error.status === 401) this.signedOut();
  }
}

const KEY = Symbol("console");

export function provide(console: Console): void {
  setContext(KEY, console);
}

export function use(): Console {
  return getContext<Console>(KEY);
}

/** Whether the broker refuses because it does not know what it was asked for, being older than this page. */
export function isMissing(problem: Problem): boolean {
  const unknown = problem.status === 404 && (problem.document.type === undefined || /^Nothing is at/.test(problem.detail ?? ""));
  return unknown || problem.status === 405;
}
