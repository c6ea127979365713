// What the viewer says, in plain words.

import { capital, lostBecause, sentence } from "../../../shared/standing.ts";
import { ago, clock } from "../../../shared/time.ts";
import type { Phase } from "./journey.ts";

/** For tests and styles: `<html data-state="…">`. */
export type Shown = "connecting" | "connected" | "reconnecting" | "unreachable" | "taken-over" | "ended" | "refused";

export function shown(phase: Phase): Shown {
  if (phase.at !== "seeking") return phase.at;
  if (phase.advice.is === "unreachable") return "unreachable";
  return phase.seen ? "reconnecting" : "connecting";
}

/** The title of the browser's tab: who, and how the session is. */
export function title(user: string | null, phase: Phase): string {
  const state = {
    connecting: "connecting…",
    connected: "connected",
    reconnecting: "reconnecting…",
    unreachable: "unreachable",
    "taken-over": "open elsewhere",
    ended: phase.at === "ended" && phase.lost ? "lost" : "ended",
    refused: "log in again",
  }[shown(phase)];
  return `${user ?? "Desktop"} · ${state} · Abide`;
}

export interface Words {
  head: string;
  body: string | null;
}

/** Null while all is well. `now` is ms since 1970. */
export function words(phase: Phase, now: number): Words | null {
  switch (phase.at) {
    case "connected":
      return null;
    case "seeking":
      return seeking(phase, now);
    case "taken-over":
      return {
        head: "Your desktop is open in another place.",
        body: "Another viewer has taken it over. Nothing in it was changed. You can take it back, and the other is told so.",
      };
    case "ended":
      return phase.lost
        ? {
            head: "This desktop is lost.",
            body: lostBecause(phase.reason),
          }
        : {
            head: "This desktop has ended.",
            body: phase.reason ? capital(sentence(phase.reason)) : null,
          };
    case "refused":
      return {
        head: "Log in again to see this desktop.",
        body: "The pass this window held is no longer valid. The desktop itself is not affected.",
      };
  }
}

function seeking(phase: Phase & { at: "seeking" }, now: number): Words {
  const head = phase.seen ? "The connection was lost. Reconnecting…" : "Connecting to your desktop…";
  switch (phase.advice.is) {
    case "none":
      return { head, body: phase.failures > 2 ? "The desktop's server does not answer yet. The desktop goes on meanwhile." : null };
    case "unreachable": {
      const { since } = phase.advice;
      const when = since === null ? "" : ` since ${clock(since, now)} (${ago(since, now)})`;
      return {
        head: "The desktop's server is out of reach.",
        body: `No broker has heard from it${when}. The desktop may well be running: this page connects by itself when the server is back.`,
      };
    }
    case "only-here":
      return {
        head,
        body: "The brokers reach the desktop's server, but this computer does not. The fault is likely in the network between. The desktop goes on meanwhile.",
      };
    case "nobody":
      return {
        head,
        body: "Neither the desktop's server nor a broker answers. Is this computer's network up? The desktop goes on meanwhile.",
      };
    case "no-picture":
      return {
        head,
        body: "The desktop's server answers, but does not send the picture. A proxy in between may be blocking WebSockets.",
      };
  }
}
