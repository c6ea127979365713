// What is known of a session, in plain words. Used by the portal and by the viewer.

import type { Session, SessionStatus } from "./api.ts";
import { ago, clock } from "./time.ts";

/** What a person can do with a session follows from these, not from the table's states. */
export type Standing = "coming" | "here" | "unreachable" | "ending" | "ended" | "lost" | "unverified";

export function standing(session: SessionStatus & { verified?: boolean }): Standing {
  if (session.state === "ended" || session.state === "lost") return session.state;
  if (session.verified === false) return "unverified";
  if (!session.reachable) return "unreachable";
  if (session.state === "ending") return "ending";
  return session.state === "running" ? "here" : "coming";
}

/** Whether nothing more will happen to it. */
export function over(session: SessionStatus): boolean {
  return session.state === "ended" || session.state === "lost";
}

/** The state in a few words, for a label. */
export function label(session: Session): string {
  switch (standing(session)) {
    case "coming":
      return "Starting";
    case "here":
      return session.viewers ? "Running, in use" : "Running";
    case "unreachable":
      return "Unreachable";
    case "ending":
      return "Ending";
    case "ended":
      return "Ended";
    case "lost":
      return "Lost";
    case "unverified":
      return "Unverified";
  }
}

/** One or two sentences on what the state means; null where the label says it all. */
export function meaning(session: Session, now: number): string | null {
  switch (standing(session)) {
    case "unreachable":
      return (
        `No broker has heard from its server since ${since(session, now)}. ` +
        "The desktop may well be running: it comes back when the server does."
      );
    case "ended":
      return session.reason && capital(sentence(session.reason));
    case "lost":
      return lostBecause(session.reason);
    case "unverified":
      return "Its server reported it without a valid start order, so it is handed to nobody. Ask an administrator.";
    default:
      return null;
  }
}

/** Lost is never a guess; so its evidence is said. Servers begin it with what the state says already. */
export function lostBecause(reason: string | null): string {
  const evidence = reason?.replace(/^lost: /, "") ?? "its server reported it";
  return `Nobody can get back to it. How that is known: ${sentence(evidence)}`;
}

/** "14:03:09 (2 minutes ago)". */
export function since(session: SessionStatus, now: number): string {
  const at = session.unreachable_since;
  return at === null ? "an unknown time" : `${clock(at, now)} (${ago(at, now)})`;
}

/** Begins a reason like a sentence. */
export function capital(reason: string): string {
  return reason.charAt(0).toUpperCase() + reason.slice(1);
}

/** Ends a reason like a sentence. */
export function sentence(reason: string): string {
  return /[.!?]$/.test(reason) ? reason : `${reason}.`;
}
