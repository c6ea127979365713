// How long to wait before trying again. Chance comes from the caller, so that tests have none.

/** A number in [0, 1). */
export type Chance = () => number;

/**
 * The wait in ms before try `n` (from 0): doubles from `first` up to `most`, then up to half of it
 * is taken off by chance, so that a thousand clients do not come back in step.
 */
export function backoff(n: number, first: number, most: number, chance: Chance): number {
  const whole = Math.min(most, first * 2 ** Math.min(n, 20));
  return n === 0 ? whole : whole * (1 - chance() / 2);
}

/** Resolves after `ms`, or at once when `signal` aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
