// The shapes of the brokers' interface that only administrators are shown. The whole of it is in
// openapi.json. Fields that may be missing come from newer brokers alone.

import type { Instant, Session } from "../../../shared/api.ts";

export interface SessionPage {
  sessions: Session[];
  /** How many sessions the question fits, beyond the page. Missing: the broker is older and cannot search. */
  total?: number;
  /** The same question for every state. */
  counts?: Counts;
}

/** Sessions by state; those whose agent is not heard count as unreachable besides. */
export interface Counts {
  reserved: number;
  starting: number;
  running: number;
  ending: number;
  ended: number;
  lost: number;
  unreachable: number;
  unverified: number;
}

export interface Load {
  at: Instant;
  /** Bytes. */
  memory_available: number;
  /** Bytes. */
  memory_total: number;
  cpus: number;
  load1: number;
  /** Percent of the time in which something waited for a processor. */
  cpu_pressure?: number;
  memory_pressure?: number;
  /** ms */
  clock_offset_ms: number;
}

/** An agent is being emptied. */
export interface Drain {
  by: string;
  since: Instant;
  deadline: Instant | null;
  message: string | null;
  then: "keep" | "end";
}

export interface Agent {
  id: string;
  name: string;
  url: string | null;
  reachable: boolean;
  unreachable_since: Instant | null;
  weight: number;
  sessions: number;
  reserved: number;
  viewers: number;
  profiles: string[];
  load: Load | null;
  drain?: Drain | null;
  failed_at?: Instant | null;
  labels?: string[];
  max_sessions?: number | null;
}

/** Whether the others can take what an agent has. */
export interface DrainCheck {
  sessions: number;
  room_elsewhere: number | null;
  fits: boolean;
  why: string;
}

export interface Sample {
  at: Instant;
  sessions: number;
  viewers: number;
  load1: number;
  /** Percent of the whole. */
  memory_available: number;
  cpu_pressure: number;
  memory_pressure: number;
}

export interface History {
  agent: string;
  answered_by: string;
  every_s: number;
  /** Oldest first; null where nothing was heard. */
  samples: (Sample | null)[];
}

export interface Broker {
  id: string;
  url: string;
  role: "leader" | "follower" | "learner" | "joining" | "unreachable";
  lag: number | null;
  last_contact_ms: number | null;
  node: number | null;
  timing: "lan" | "slow";
  clock_offset_ms: number | null;
  /** The newest version of messages that it speaks. */
  wire?: number | null;
}

export interface Cluster {
  cluster: string;
  answered_by: string;
  leader: string | null;
  brokers: Broker[];
  generation: number;
  term: number;
  voters: number;
  can_lose: number;
  clock_problem: string | null;
  /** The version of messages that all have come to. */
  wire?: number | null;
  /** Who holds a newer one up. */
  wire_problem?: string | null;
  /** Since the answering broker started. */
  elections_started?: number | null;
  elections_won?: number | null;
}

export interface Explanation {
  user: string;
  profile: string | null;
  pool: string | null;
  /** The id of the agent that would get the session. */
  taken: string | null;
  /** The one that would get it first, then those that could, then the others. */
  agents: Explained[];
  refusal: string | null;
}

export interface Explained {
  id: string;
  name: string;
  verdict: string;
  why: string;
  sessions: number;
  reserved: number;
  weight: number;
  load: number | null;
  cpu_pressure?: number | null;
  memory_pressure?: number | null;
  memory_left?: number | null;
  failed_at?: Instant | null;
}

export interface Config {
  /** 0 where nothing was written yet. */
  version: number;
  text: string;
  at: Instant | null;
  by: string | null;
  note: string | null;
  /** Why the answering broker cannot read it, being older; it goes by the last one that it can. */
  problem?: string | null;
}

export type ConfigVersion = Omit<Config, "text" | "problem">;

export interface AuditRecord {
  /** Where it stands in its broker's log. */
  id: string;
  at: Instant;
  decision: string;
  verdict: "allowed" | "refused";
  user?: string;
  address?: string;
  session?: string;
  agent?: string;
  token?: string;
  reason?: string;
}

export interface AuditPage {
  /** The broker whose log this is. */
  broker: string;
  /** Newest first. */
  records: AuditRecord[];
  /** From where to read on; null at the log's beginning. */
  before: string | null;
}
