// Times in words.

const STEPS: [limit: number, unit: Intl.RelativeTimeFormatUnit, seconds: number][] = [
  [60, "second", 1],
  [3600, "minute", 60],
  [86_400, "hour", 3600],
  [Number.POSITIVE_INFINITY, "day", 86_400],
];

const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });

/** How long ago `at` was, seen from `now` (ms since 1970): "just now", "3 minutes ago". */
export function ago(at: string, now: number): string {
  const seconds = Math.round((now - Date.parse(at)) / 1000);
  if (Number.isNaN(seconds)) return "at an unknown time";
  // Clocks differ by a little: the near future is now.
  if (seconds < 5) return "just now";
  const [, unit, size] = STEPS.find(([limit]) => seconds < limit) ?? STEPS[0]!;
  return relative.format(-Math.floor(seconds / size), unit);
}

/** The date and time in the person's own zone, for whoever wants to know exactly. */
export function exactly(at: string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  return date.toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long" });
}

/** The time of day, with the date when that is another day than `now`'s. */
export function clock(at: string, now: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  const today = date.toDateString() === new Date(now).toDateString();
  return date.toLocaleString("en-GB", today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" });
}
