// Where in the console one is.

import { link, type Page, parse, type Route } from "./route.ts";

class Place {
  route: Route = $state.raw(parse(location.hash));

  /** Follows the address until the page is left. */
  constructor() {
    window.addEventListener("hashchange", () => (this.route = parse(location.hash)));
  }

  /** Another page, or the same with a step that "back" undoes. */
  go(page: Page, params: Record<string, string> = {}): void {
    location.hash = link(page, params);
  }

  /** The page's own question has changed; no step for "back". */
  amend(changes: Record<string, string>): void {
    const { page, params } = this.route;
    history.replaceState(null, "", link(page, { ...params, ...changes }));
    this.route = parse(location.hash);
  }
}

export const place = new Place();
