// How often a page asks again. Events say that something changed, many times a second on a busy
// cluster; a page asks no more often than its reader can look, and costs the broker and the browser
// only a small part of their time.

/** ms between two askings. */
export const GAP = 1000;
/** An answer that took long to get is asked for again only after so many times as long. */
const REST = 10;

/** ms to wait at `now` before asking again, when the last asking ended at `ended` and took `took` ms. */
export function wait(now: number, ended: number, took: number): number {
  return Math.max(0, ended + Math.max(GAP, took * REST) - now);
}
