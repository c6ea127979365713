// The interface's numbers as people read them; never rounded to something that it did not say.

/** 16.4 GiB. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [count, 0];
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** 10,000. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** 1 session, 2 sessions. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** ms with their sign, or in seconds where that reads better. */
export function milliseconds(value: number): string {
  if (Math.abs(value) < 10_000) return `${count(value)} ms`;
  return `${count(Math.round(value / 1000))} s`;
}

/** How long until `at`: "1 h 20 min". */
export function remaining(at: string, now: number): string {
  const minutes = Math.ceil((Date.parse(at) - now) / 60_000);
  if (Number.isNaN(minutes)) return "an unknown time";
  if (minutes <= 0) return "no time";
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  if (hours === 0) return `${minutes} min`;
  return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
}

/** Seconds from "90", "45m", "2h", "1h30m", "1d"; minutes where no unit stands. Null when it is none of these. */
export function span(text: string): number | null {
  const compact = text.replace(/\s+/g, "").toLowerCase();
  if (/^\d+$/.test(compact)) return Number(compact) * 60;
  if (!/^(\d+(d|h|min|m|s))+$/.test(compact)) return null;
  const sizes: Record<string, number> = { d: 86_400, h: 3600, min: 60, m: 60, s: 1 };
  let seconds = 0;
  for (const [, number, unit] of compact.matchAll(/(\d+)(d|h|min|m|s)/g)) seconds += Number(number) * sizes[unit!]!;
  return seconds;
}
