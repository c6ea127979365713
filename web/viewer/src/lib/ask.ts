// Asking what became of the session: first its agent, then the brokers.

import type { SessionStatus, ViewerState } from "../../../shared/api.ts";
import { type Problem, problemFrom } from "../../../shared/problem.ts";
import { over, standing } from "../../../shared/standing.ts";
import type { Advice } from "./journey.ts";

const AGENT_WITHIN = 2000;
const BROKERS_WITHIN = 2500;
const LIVING_WITHIN = 1000;

export type AgentSays =
  | { is: "welcome"; state: ViewerState }
  | { is: "refused"; problem: Problem }
  | { is: "over"; problem: Problem }
  | { is: "silent" };

/** Asks the agent, which knows this browser by the pass in its cookie. */
export async function askAgent(stateUrl: string): Promise<AgentSays> {
  try {
    const response = await get(stateUrl, AGENT_WITHIN, { credentials: "same-origin" });
    if (response.ok) return { is: "welcome", state: (await response.json()) as ViewerState };
    if (response.status === 401 || response.status === 403) return { is: "refused", problem: await problemFrom(response) };
    if (response.status === 410) return { is: "over", problem: await problemFrom(response) };
    return { is: "silent" };
  } catch {
    return { is: "silent" };
  }
}

export type BrokersSay =
  | { is: "advice"; advice: Advice; broker: string | null }
  | { is: "over"; lost: boolean; reason: string | null; broker: string };

/** Asks all brokers at once; the first that knows the session counts. */
export async function askBrokers(brokers: string[], id: string, statusToken: string): Promise<BrokersSay> {
  const ask = async (broker: string): Promise<BrokersSay> => {
    const headers = { Authorization: `Bearer ${statusToken}` };
    const url = `${new URL(broker).origin}/api/v1/sessions/${id}/status`;
    const response = await get(url, BROKERS_WITHIN, { headers, credentials: "omit" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return judge((await response.json()) as SessionStatus, broker);
  };
  return Promise.any(brokers.map(ask)).catch(() => ({ is: "advice", advice: { is: "nobody" }, broker: null }) as const);
}

/**
 * A broker that answers at all, for the link to the portal; null if none does. Asked in order: the
 * person may still be logged in at the first.
 */
export async function livingBroker(brokers: string[]): Promise<string | null> {
  for (const broker of brokers) {
    try {
      // Any answer will do, so its content may stay unreadable.
      await get(`${new URL(broker).origin}/healthz`, LIVING_WITHIN, { mode: "no-cors", redirect: "follow", credentials: "omit" });
      return broker;
    } catch {
      continue;
    }
  }
  return null;
}

function judge(status: SessionStatus, broker: string): BrokersSay {
  if (over(status)) {
    return { is: "over", lost: standing(status) === "lost", reason: status.reason, broker };
  }
  const advice: Advice = status.reachable
    ? { is: "only-here" }
    : { is: "unreachable", since: status.unreachable_since };
  return { is: "advice", advice, broker };
}

async function get(url: string, within: number, init: RequestInit): Promise<Response> {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), within);
  try {
    return await fetch(url, { cache: "no-store", redirect: "error", ...init, signal: giveUp.signal });
  } finally {
    clearTimeout(timer);
  }
}
