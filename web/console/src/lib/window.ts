// Which rows of a long list are drawn, and which are asked for.

/** Rows drawn above and below what is seen, so that scrolling shows none that is missing. */
const MARGIN = 8;
/** Rows are asked for in whole pages of this many. */
export const PAGE = 100;

export interface Span {
  /** The first row. */
  first: number;
  /** The row after the last. */
  end: number;
}

/** The rows to draw, where `top` px are scrolled away and `height` px are seen. */
export function drawn(top: number, height: number, row: number, total: number): Span {
  const first = Math.max(0, Math.floor(top / row) - MARGIN);
  const end = Math.min(total, Math.ceil((top + height) / row) + MARGIN);
  return { first: Math.min(first, end), end };
}

/** The rows to ask for, so that those of `span` are there and a page's worth around them. */
export function asked(span: Span): Span {
  const first = Math.max(0, Math.floor((span.first - PAGE / 2) / PAGE) * PAGE);
  return { first, end: Math.ceil((span.end + PAGE / 2) / PAGE) * PAGE };
}

/** Whether all rows of `inner` that exist are among those of `outer`. */
export function covers(outer: Span, inner: Span): boolean {
  return inner.first >= inner.end || (outer.first <= inner.first && outer.end >= inner.end);
}

/** Browsers draw nothing beyond some ten millions of pixels, and nobody scrolls so far. */
export const MOST_ROWS = 100_000;
