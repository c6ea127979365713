// What this tab remembers: nothing outlives it, nothing is shared with another tab.

export interface SignedIn {
  token: string;
  user: string;
}

const TOKEN = "abide.signed-in";
const BROKERS = "abide.brokers";
const OPEN_NEXT = "abide.open-next";

export function signedIn(): SignedIn | null {
  return read<SignedIn>(TOKEN);
}

export function rememberSignedIn(value: SignedIn | null): void {
  write(TOKEN, value);
}

export function knownBrokers(): string[] {
  return read<string[]>(BROKERS) ?? [];
}

export function rememberBrokers(urls: string[]): void {
  write(BROKERS, urls);
}

/** The session to open after this page has loaded itself again; asked for once. */
export function takeOpenNext(): string | null {
  const id = read<string>(OPEN_NEXT);
  write(OPEN_NEXT, null);
  return id;
}

export function rememberOpenNext(id: string): void {
  write(OPEN_NEXT, id);
}

function read<T>(key: string): T | null {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "null") as T | null;
  } catch {
    return null;
  }
}

function write(key: string, value: unknown): void {
  if (value === null) sessionStorage.removeItem(key);
  else sessionStorage.setItem(key, JSON.stringify(value));
}
