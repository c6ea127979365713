// One answer that is kept fresh.

import { Problem } from "../../../shared/problem.ts";
import { wait } from "./pace.ts";

type Ask<T> = (signal: AbortSignal) => Promise<T>;

export class Live<T> {
  /** Null until the first answer. An older one stays while a newer one is asked for. */
  value: T | null = $state.raw(null);
  /** Why the last asking was refused. */
  problem: Problem | null = $state.raw(null);
  /** The question has changed, and `value` answers the one before. */
  behind = $state(false);

  private asking: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private ended = Number.NEGATIVE_INFINITY;
  private took = 0;
  private closed = false;

  constructor(private readonly ask: Ask<T>) {}

  /** The question changed: an answer to the one before is not waited for. */
  now(): void {
    if (this.closed) return;
    this.behind = true;
    this.asking?.abort();
    this.asking = null;
    void this.run();
  }

  /** The answer may have changed. */
  soon(): void {
    if (this.closed || this.timer !== null) return;
    // What is under way may have been read before the change.
    const pause = this.asking ? wait(0, 0, this.took) : wait(performance.now(), this.ended, this.took);
    this.timer = setTimeout(() => {
      this.timer = null;
      if (this.asking) this.soon();
      else void this.run();
    }, pause);
  }

  close(): void {
    this.closed = true;
    this.asking?.abort();
    if (this.timer !== null) clearTimeout(this.timer);
  }

  private async run(): Promise<void> {
    const asking = new AbortController();
    this.asking = asking;
    const began = performance.now();
    try {
      const value = await this.ask(asking.signal);
      if (asking.signal.aborted) return;
      this.value = value;
      this.problem = null;
    } catch (error) {
      if (asking.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      this.problem = error;
    }
    this.behind = false;
    this.asking = null;
    this.ended = performance.now();
    this.took = this.ended - began;
  }
}
