// Decides what the viewer does next; does nothing itself: see `viewer.svelte.ts`.
//
//   seeking ──► connected ──► seeking …        a line that drops is sought again, for ever
//      │            │
//      └────────────┴──► taken-over | ended | refused      wait for the person

import { backoff, type Chance } from "../../../shared/backoff.ts";

/** What is known while the agent cannot be reached. Each is one text in `Cover.svelte`. */
export type Advice =
  | { is: "none" }
  /** No broker hears the agent either. */
  | { is: "unreachable"; since: string | null }
  /** The brokers hear the agent; so the fault is between this browser and it. */
  | { is: "only-here" }
  /** No broker answers, nor does the agent. */
  | { is: "nobody" }
  /** The agent answers, but its WebSocket does not open. */
  | { is: "no-picture" };

export type Phase =
  | {
      at: "seeking";
      /** ms; when the line was lost, or the page was opened. */
      since: number;
      failures: number;
      /** Whether there is a last frame to show. */
      seen: boolean;
      advice: Advice;
    }
  | { at: "connected"; since: number; failures: number }
  | { at: "taken-over" }
  /** `sure`: the agent said so itself; otherwise a broker did. */
  | { at: "ended"; lost: boolean; reason: string | null; sure: boolean }
  | { at: "refused" };

export type Event =
  | { is: "opened" }
  /** The agent knows the session and accepts the pass. */
  | { is: "welcome" }
  | { is: "silent" }
  | { is: "refused" }
  | { is: "over"; lost: boolean; reason: string | null; sure: boolean }
  | { is: "up" }
  | { is: "down"; code: number }
  | { is: "advice"; advice: Advice }
  /** Time to ask the brokers. */
  | { is: "reassess" }
  /** The timer of `retry` fired, or there is a reason to hope: back online, tab shown again. */
  | { is: "retry" }
  /** The person wants in: takes over, or tries again after a refusal. */
  | { is: "insist" };

export type Effect =
  | { do: "ask-agent" }
  | { do: "open-line" }
  | { do: "close-line" }
  | { do: "retry"; after: number }
  | { do: "ask-brokers" }
  | { do: "reassess"; after: number };

/** Close codes of the agent's WebSocket. */
export const TAKEN_OVER = 4001;
export const SESSION_ENDED = 4002;
export const PASS_REFUSED = 4003;

const FIRST_RETRY = 100;
/** An agent daemon that restarts is back within a second or two: so long, tries stay close. */
const EAGER_FOR = 5000;
const EAGER_MOST = 400;
const MOST = 2000;
/** After this long without the agent, the brokers are asked; and again this often. */
const REASSESS_AFTER = 3000;
const REASSESS_EVERY = 5000;
/** A connection that does not last this long was none, and the waits go on growing. */
const LASTING = 2000;
/** So many welcomes without a picture are no accident. */
const NO_PICTURE_AFTER = 5;

export class Journey {
  phase: Phase;
  private welcomed = 0;

  constructor(
    now: number,
    private readonly chance: Chance,
  ) {
    this.phase = { at: "seeking", since: now, failures: 0, seen: false, advice: { is: "none" } };
  }

  /** Takes an event at `now` (ms, monotonic) and says what to do about it, in order. */
  step(now: number, event: Event): Effect[] {
    const { phase } = this;
    switch (event.is) {
      case "opened":
        return [{ do: "ask-agent" }, { do: "reassess", after: REASSESS_AFTER }];
      case "welcome":
        if (phase.at !== "seeking") return [];
        this.welcomed += 1;
        return [{ do: "open-line" }];
      case "silent":
        this.welcomed = 0;
        return phase.at === "seeking" ? this.failed(now, phase) : this.lost(now);
      case "refused":
        return this.settle({ at: "refused" });
      case "over":
        return this.settle({ at: "ended", lost: event.lost, reason: event.reason, sure: event.sure });
      case "up":
        if (phase.at !== "seeking") return [];
        this.welcomed = 0;
        this.phase = { at: "connected", since: now, failures: phase.failures };
        return [];
      case "down":
        return this.down(now, event.code);
      case "advice":
        if (phase.at === "seeking") this.phase = { ...phase, advice: event.advice };
        return [];
      case "reassess":
        if (phase.at !== "seeking") return [];
        return [{ do: "ask-brokers" }, { do: "reassess", after: REASSESS_EVERY }];
      case "retry":
        return phase.at === "seeking" ? [{ do: "ask-agent" }] : [];
      case "insist":
        if (phase.at === "connected" || phase.at === "seeking") return [];
        this.phase = { at: "seeking", since: now, failures: 0, seen: true, advice: { is: "none" } };
        return [{ do: "ask-agent" }, { do: "reassess", after: REASSESS_AFTER }];
    }
  }

  private down(now: number, code: number): Effect[] {
    const { phase } = this;
    if (phase.at !== "seeking" && phase.at !== "connected") return [];
    switch (code) {
      case TAKEN_OVER:
        return this.settle({ at: "taken-over" });
      case SESSION_ENDED:
        // The agent's answer to the next question has the reason.
        return this.lost(now);
      case PASS_REFUSED:
        return this.settle({ at: "refused" });
      default:
        return phase.at === "seeking" ? this.failed(now, phase) : this.lost(now);
    }
  }

  /** A standing line is gone. */
  private lost(now: number): Effect[] {
    const { phase } = this;
    if (phase.at !== "connected") return [];
    const failures = now - phase.since < LASTING ? phase.failures + 1 : 0;
    this.phase = { at: "seeking", since: now, failures, seen: true, advice: { is: "none" } };
    return [
      { do: "close-line" },
      { do: "retry", after: this.wait(0, failures) },
      { do: "reassess", after: REASSESS_AFTER },
    ];
  }

  /** One more try was in vain. */
  private failed(now: number, phase: Phase & { at: "seeking" }): Effect[] {
    const failures = phase.failures + 1;
    const advice: Advice = this.welcomed >= NO_PICTURE_AFTER ? { is: "no-picture" } : phase.advice;
    this.phase = { ...phase, failures, advice };
    return [{ do: "close-line" }, { do: "retry", after: this.wait(now - phase.since, failures) }];
  }

  private settle(phase: Phase): Effect[] {
    this.phase = phase;
    return [{ do: "close-line" }];
  }

  private wait(elapsed: number, failures: number): number {
    return backoff(failures, FIRST_RETRY, elapsed < EAGER_FOR ? EAGER_MOST : MOST, this.chance);
  }
}
