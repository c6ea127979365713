// The audit log of the cluster, put together from the brokers' own.

import type { AuditPage, AuditRecord } from "./api.ts";

/** A record and the broker in whose log it stands. */
export type Entry = AuditRecord & { broker: string };

/** What is known of one broker's log: an unbroken piece of it, newest first. */
export interface Log {
  broker: string;
  records: AuditRecord[];
  /** Where older ones begin; null when there are none. */
  before: string | null;
}

/** Adds the newest page. Where it does not reach what is known, there is a gap, and the page begins anew. */
export function renew(log: Log | undefined, page: AuditPage): Log {
  const fresh = { broker: page.broker, records: page.records, before: page.before };
  if (log === undefined || page.before === null) return fresh;
  const ids = new Set(log.records.map((it) => it.id));
  const meets = page.records.findIndex((it) => ids.has(it.id));
  if (meets === -1) return log.records.length === 0 && page.records.length === 0 ? log : fresh;
  const at = log.records.findIndex((it) => it.id === page.records[meets]!.id);
  return { ...log, records: [...page.records.slice(0, meets), ...log.records.slice(at)] };
}

/** Adds the page that follows on what is known. */
export function extend(log: Log, page: AuditPage): Log {
  return { ...log, records: [...log.records, ...page.records], before: page.before };
}

/**
 * All records of all logs, newest first, as far back as every log is known: beyond that, some that
 * belong between would be missing.
 */
export function merge(logs: Log[]): { entries: Entry[]; more: boolean } {
  const open = logs.filter((it) => it.before !== null);
  const horizon = open.map((it) => it.records.at(-1)?.at ?? "9").sort().at(-1) ?? "";
  const all = logs.flatMap(({ broker, records }) => records.map((it) => ({ ...it, broker })));
  const entries = all.filter((it) => it.at >= horizon).sort((a, b) => b.at.localeCompare(a.at));
  return { entries, more: open.length > 0 };
}

export const DECISIONS: Record<string, string> = {
  login: "Log in",
  logout: "Log out",
  call: "Use a token",
  start: "Start a desktop",
  ticket: "Get the way in",
  redeem: "Use the way in",
  attach: "Look at a desktop",
  end: "End a desktop",
  abandon: "Stop tracking",
  join: "Join the cluster",
  administer: "Administer",
};

/** A decision in words; one that this page does not know stands as the log has it. */
export function decision(word: string): string {
  return DECISIONS[word] ?? word;
}
