// The addresses of this viewer's session, all relative to the page's own: /s/{id}/{view key}

export interface Place {
  /** The session's id. */
  id: string;
  /** WebSocket. */
  rfb: string;
  /** Who I am to the agent, and what the session is. */
  state: string;
  /** What its person should know, as server-sent events. */
  notes: string;
}

/** Null when the page was opened under an address that names no session. */
export function placeOf(href: string): Place | null {
  const url = new URL(href);
  const match = /^(.*\/s\/([^/]+)\/[^/]+)\/?$/.exec(url.pathname);
  if (!match) return null;
  const [, base, id] = match;
  const scheme = url.protocol === "https:" ? "wss:" : "ws:";
  const here = `${url.origin}${base}/rfb`;
  return { id: id!, rfb: `${scheme}//${url.host}${base}/rfb`, state: `${here}/state`, notes: `${here}/notes` };
}
