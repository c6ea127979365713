// Which agent a session would go to: the order to read the explanation in.

import type { Explained, Explanation } from "./api.ts";

const COLLATOR = new Intl.Collator("en", { numeric: true });

/** The one that is taken first, then those that it was preferred to, then those that could not take it. */
export function inOrder({ agents, taken }: Explanation): Explained[] {
  const rank = (it: Explained) => (it.id === taken ? 0 : isOut(it) ? 2 : 1);
  return [...agents].sort((a, b) => rank(a) - rank(b) || (a.load ?? 0) - (b.load ?? 0) || COLLATOR.compare(a.name, b.name));
}

const COMPARED = ["more-loaded", "user-elsewhere", "under-pressure", "stale", "stale-load", "avoided", "less-trusted"];

/** Whether it was not even compared with others: it may not or cannot take the session. */
export function isOut(agent: Explained): boolean {
  return !agent.verdict.startsWith("taken") && !COMPARED.includes(agent.verdict);
}

/** A verdict's word as it stands in a sentence. */
export function verdict(word: string): string {
  const text = word.replaceAll("-", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
