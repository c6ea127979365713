// What the page knows and does once somebody is signed in: their sessions, and the one wish that is
// being fulfilled.

import type { Account, Connected, Profile, Session } from "../../../shared/api.ts";
import { Problem } from "../../../shared/problem.ts";
import { over, standing } from "../../../shared/standing.ts";
import { type Brokers, type Call, Silent } from "../../../shared/brokers.ts";
import { follow } from "../../../shared/events.ts";
import { randomKey } from "../../../shared/key.ts";
import { leaveFor } from "../../../shared/leave.ts";
import { rememberOpenNext, type SignedIn } from "../../../shared/memory.ts";

/** What the person asked for. */
export type Wish =
  | { want: "resume-or-start" | "start"; profile: string | null }
  | { want: "connect"; id: string };

export type Opening =
  | { at: "nothing" }
  | { at: "asking"; wish: Wish }
  /** The ticket is on its way to the agent; the page is about to be replaced. */
  | { at: "leaving" }
  | { at: "refused"; wish: Wish; key: string; problem: Problem | null }
  | { at: "unreachable"; session: Session }
  | { at: "waiting"; id: string };

/** A start may wait for a host and a failover; past this the person is asked. */
const PATIENCE = 60_000;
const START_MAY_TAKE = 60_000;

export class Desk {
  /** Null until the first answer. */
  sessions: Session[] | null = $state.raw(null);
  profiles: Profile[] = $state.raw([]);
  /** Whether this person administers the cluster. */
  admin = $state(false);
  opening: Opening = $state.raw({ at: "nothing" });
  /** What was refused, other than the opening. */
  problem: Problem | null = $state.raw(null);

  private readonly stop = new AbortController();
  private asking = new AbortController();
  private looking = false;
  private lookAgain = false;

  constructor(
    private readonly brokers: Brokers,
    readonly me: SignedIn,
    private readonly signedOut: () => void,
  ) {}

  /** Follows the sessions until `close`. */
  open(): void {
    void this.learn();
    void this.look();
    follow(this.brokers, this.me.token, () => void this.look(), this.stop.signal).catch((error) => this.fail(error));
  }

  close(): void {
    this.stop.abort();
    this.asking.abort();
  }

  /** Asks for a desktop and leaves for it. One click, one key, however often it is tried. */
  async wish(wish: Wish, key: string = randomKey()): Promise<void> {
    this.cancel();
    this.problem = null;
    this.opening = { at: "asking", wish };
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      const { session, connect } = await this.call<Connected>({
        ...callFor(wish),
        key,
        tryFor: START_MAY_TAKE,
        patience: PATIENCE,
        signal,
      });
      this.opening = { at: "leaving" };
      leaveFor(connect, () => this.loadAgainFor(session.id));
    } catch (error) {
      if (signal.aborted) return;
      if (this.unauthorised(error)) return;
      if (error instanceof Problem && error.is("session-unreachable") && error.document.session) {
        this.opening = { at: "unreachable", session: error.document.session };
      } else {
        this.opening = { at: "refused", wish, key, problem: error instanceof Problem ? error : null };
      }
      void this.look();
    }
  }

  /** Loads the page anew, from a broker that lives; the token is this origin's alone. */
  private loadAgainFor(id: string): void {
    const living = this.brokers.known()[0]!;
    if (living !== location.origin) return location.assign(`${living}/#session=${id}`);
    rememberOpenNext(id);
    location.reload();
  }

  /** Tries the refused wish again. A refusal is an answer, so a new try is a new key after one. */
  again(opening: Opening & { at: "refused" }): Promise<void> {
    return opening.problem === null ? this.wish(opening.wish, opening.key) : this.wish(opening.wish);
  }

  /** Opens the session by itself as soon as it is reachable. */
  wait(id: string): void {
    this.opening = { at: "waiting", id };
    this.resumeIfBack();
  }

  cancel(): void {
    this.asking.abort();
    this.opening = { at: "nothing" };
  }

  end(id: string): Promise<void> {
    return this.change({ method: "DELETE", path: `/api/v1/sessions/${id}` });
  }

  abandon(id: string): Promise<void> {
    return this.change({ method: "POST", path: `/api/v1/sessions/${id}/abandon` });
  }

  /** Signs out here, or in every browser. Ends no desktop. */
  async logout(everywhere: boolean): Promise<void> {
    const body = everywhere ? { everywhere: true } : {};
    // Somebody who leaves must not be kept by a broker that does not answer; but whoever wants to
    // be out everywhere must hear when that failed.
    const patience = everywhere ? 10_000 : 2000;
    try {
      await this.call<void>({ method: "POST", path: "/api/v1/logout", body, patience });
    } catch (error) {
      if (everywhere && !(error instanceof Problem && error.status === 401)) return this.fail(error);
    }
    this.signedOut();
  }

  private async change(call: Call): Promise<void> {
    this.problem = null;
    try {
      await this.call<void>({ ...call, patience: PATIENCE });
      if (this.opening.at === "unreachable" || this.opening.at === "waiting") this.cancel();
    } catch (error) {
      this.fail(error);
    }
    await this.look();
  }

  /** Reads the sessions; while that is under way, further calls become one more reading. */
  private async look(): Promise<void> {
    if (this.looking) {
      this.lookAgain = true;
      return;
    }
    this.looking = true;
    try {
      do {
        this.lookAgain = false;
        const { sessions } = await this.call<{ sessions: Session[] }>({ method: "GET", path: "/api/v1/sessions" });
        // Administrators are shown everybody's; this page is about one's own.
        this.sessions = sessions.filter((it) => it.user === this.me.user);
        this.resumeIfBack();
      } while (this.lookAgain);
    } catch (error) {
      this.fail(error);
    } finally {
      this.looking = false;
    }
  }

  private resumeIfBack(): void {
    if (this.opening.at !== "waiting") return;
    const { id } = this.opening;
    const session = this.sessions?.find((it) => it.id === id);
    if (session && standing(session) === "here") void this.wish({ want: "connect", id });
    else if (session && over(session)) this.cancel();
  }

  /** What rarely changes: the profiles on offer, and what this person may do. */
  private async learn(): Promise<void> {
    try {
      this.admin = (await this.call<Account>({ method: "GET", path: "/api/v1/account" })).admin;
      this.profiles = (await this.call<{ profiles: Profile[] }>({ method: "GET", path: "/api/v1/profiles" })).profiles;
    } catch (error) {
      this.fail(error);
    }
  }

  private call<T>(call: Call): Promise<T> {
    return this.brokers.call<T>({ signal: this.stop.signal, ...call, token: this.me.token });
  }

  private fail(error: unknown): void {
    if (this.stop.signal.aborted || this.unauthorised(error)) return;
    if (error instanceof Problem) this.problem = error;
    else if (error instanceof Silent) this.problem = new Problem(503, { title: error.message, detail: "Nothing was changed, as far as this page can tell. Try again." });
    else throw error;
  }

  private unauthorised(error: unknown): boolean {
    if (!(error instanceof Problem && error.status === 401)) return false;
    this.signedOut();
    return true;
  }
}

function callFor(wish: Wish): Call {
  if (wish.want === "connect") return { method: "POST", path: `/api/v1/sessions/${wish.id}/connect` };
  const body = wish.profile === null ? { want: wish.want } : { want: wish.want, profile: wish.profile };
  return { method: "POST", path: "/api/v1/sessions", body };
}
