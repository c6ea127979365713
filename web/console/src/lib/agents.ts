// The table of agents: what an agent's state is in a word, which fit a search, in which order.

import type { Agent } from "./api.ts";

export type AgentState = "ready" | "failing" | "draining" | "drained" | "unreachable" | "never-heard";

export function agentState(agent: Agent): AgentState {
  if (!agent.reachable) return agent.url === null ? "never-heard" : "unreachable";
  if (agent.drain) return occupied(agent) > 0 ? "draining" : "drained";
  return agent.failed_at ? "failing" : "ready";
}

export const STATES: Record<AgentState, { label: string; tone: string }> = {
  ready: { label: "Ready", tone: "good" },
  failing: { label: "A start failed", tone: "warn" },
  draining: { label: "Draining", tone: "warn" },
  drained: { label: "Empty", tone: "" },
  unreachable: { label: "Unreachable", tone: "bad" },
  "never-heard": { label: "Not heard yet", tone: "" },
};

/** Sessions on it, those on their way included. */
export function occupied(agent: Agent): number {
  return agent.sessions + agent.reserved;
}

/** Processes that would run, for each processor. */
export function busy(agent: Agent): number | null {
  return agent.load && agent.load.cpus > 0 ? agent.load.load1 / agent.load.cpus : null;
}

/** Between 0 and 1. */
export function memoryUsed(agent: Agent): number | null {
  return agent.load && agent.load.memory_total > 0 ? 1 - agent.load.memory_available / agent.load.memory_total : null;
}

const COLLATOR = new Intl.Collator("en", { numeric: true });
const RANKS: AgentState[] = ["unreachable", "failing", "draining", "drained", "never-heard", "ready"];

const VALUES: Record<string, (agent: Agent) => number> = {
  state: (it) => RANKS.indexOf(agentState(it)),
  sessions: occupied,
  weight: (it) => it.weight,
  load: (it) => busy(it) ?? -1,
  memory: (it) => memoryUsed(it) ?? -1,
};

/** Those that `search` fits, in the order of a column; the name decides among equals. */
export function pick(agents: Agent[], search: string, sort: string, descending: boolean): Agent[] {
  const text = search.trim().toLowerCase();
  const fits = (it: Agent) => [it.name, it.id, ...(it.labels ?? []), STATES[agentState(it)].label].some((word) => word.toLowerCase().includes(text));
  const value = VALUES[sort];
  const sign = descending ? -1 : 1;
  const order = (a: Agent, b: Agent) => (value ? sign * (value(a) - value(b)) : 0) || (value ? 1 : sign) * COLLATOR.compare(a.name, b.name);
  return agents.filter(fits).sort(order);
}
