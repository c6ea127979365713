// Which page is shown, and what it was asked: both stand in the address, so that a reload and a
// link keep them. `#/sessions?state=running`.

export const PAGES = ["sessions", "agents", "cluster", "placement", "configuration", "audit"] as const;
export type Page = (typeof PAGES)[number];

export interface Route {
  page: Page;
  params: Record<string, string>;
}

export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const page = PAGES.find((it) => it === path) ?? "sessions";
  return { page, params: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a page; parameters that are empty are left out. */
export function link(page: Page, params: Record<string, string> = {}): string {
  const kept = Object.entries(params).filter(([, value]) => value !== "");
  const query = new URLSearchParams(kept).toString();
  return query === "" ? `#/${page}` : `#/${page}?${query}`;
}
