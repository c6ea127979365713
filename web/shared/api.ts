// The shapes of the brokers' and agents' HTTP interface, as far as the pages use them.
// The whole of it is in openapi.json.

/** RFC 3339, in UTC. */
export type Instant = string;

export type SessionState = "reserved" | "starting" | "running" | "ending" | "ended" | "lost";

/** What a status token lets its bearer read about one session. */
export interface SessionStatus {
  state: SessionState;
  reachable: boolean;
  unreachable_since: Instant | null;
  /** Why it ended; for a lost one, the evidence. */
  reason: string | null;
}

/** What the person at a viewer should know of the session's limits. */
export interface LimitNote {
  kind: "limit";
  /** Null: nothing any more. */
  text: string | null;
  /** Seconds. */
  ends_in_s: number | null;
}

export interface Session extends SessionStatus {
  id: string;
  user: string;
  agent: string;
  agent_name: string;
  profile: string;
  /** The pool that its person was offered; missing from brokers that know none. */
  pool?: string | null;
  viewers: number;
  created_at: Instant;
  ended_at: Instant | null;
  /** False: found on an agent without a valid start order; handed to nobody. */
  verified: boolean;
}

/** What lets this browser attach to one session on one agent. The ticket is used once. */
export interface Connect {
  ticket: string;
  viewer_url: string;
  rfb_url: string;
  expires_at: Instant;
}

export interface Connected {
  session: Session;
  connect: Connect;
}

export interface Profile {
  name: string;
  title: string;
}

export type PromptStyle = "echo-off" | "echo-on";

export interface Prompt {
  style: PromptStyle;
  text: string;
}

export interface Message {
  style: "info" | "error";
  text: string;
}

/** A login either asks on or is done. */
export interface LoginAsks {
  conversation: string;
  messages: Message[];
  prompts: Prompt[];
}

export interface LoginDone {
  token: string;
  user: string;
  messages: Message[];
  expires_at: Instant;
}

/** Who the token says one is. */
export interface Account {
  user: string;
  groups: string[];
  admin: boolean;
}

export type LoginReply = LoginAsks | LoginDone;

export interface Cluster {
  leader: string | null;
  brokers: { id: string; url: string }[];
  /** What administrators want everybody to read. */
  notice?: string | null;
}

/** What an agent says of a session to whoever holds its pass. */
export interface ViewerState {
  session: { profile: string; agent_name: string };
  user: string;
  status_token: string;
  brokers: string[];
  mode: "control" | "view-only";
}
