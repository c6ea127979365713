// How the cluster looks from each of its brokers.

import type { Broker, Cluster } from "./api.ts";

/** A broker's name for people: where it is reached; its id is for machines. */
export function hostOf(url: string): string {
  return url.replace(/^https?:\/\//, "").replace(/\/$/, "");
}

/** What one broker says; null when it does not answer this browser. */
export interface View {
  id: string;
  url: string;
  cluster: Cluster | null;
}

/** The answer to go by: a leader's own if there is one, since it alone knows who is behind. */
export function best(views: View[], first: Cluster): Cluster {
  const leaders = views.flatMap((it) => (it.cluster && it.cluster.leader === it.cluster.answered_by ? [it.cluster] : []));
  // One that was cut off may still believe that it leads; the later term is right.
  return leaders.sort((a, b) => b.generation - a.generation || b.term - a.term)[0] ?? first;
}

/** Whether those that answer name different leaders, or some of them none. */
export function disagree(views: View[]): boolean {
  const named = new Set(views.flatMap((it) => (it.cluster ? [it.cluster.leader] : [])));
  return named.size > 1;
}

/** How far the cluster is from not serving any more, in words. */
export function margin(cluster: Cluster): { tone: "good" | "warn" | "bad"; text: string } {
  const { can_lose, voters, leader } = cluster;
  if (leader === null) return { tone: "bad", text: "No broker leads: nobody can start or find a desktop now. Desktops that are open go on." };
  if (can_lose > 0) return { tone: "good", text: `${can_lose} more of ${voters} brokers may fail, and the cluster goes on.` };
  if (voters === 1) return { tone: "warn", text: "One broker alone: while it is away, nobody can start or find a desktop." };
  return { tone: "warn", text: "No further broker may fail, or nobody can start or find a desktop." };
}

export const ROLES: Record<Broker["role"], { label: string; tone: string }> = {
  leader: { label: "Leads", tone: "good" },
  follower: { label: "Follows", tone: "" },
  learner: { label: "Catches up", tone: "warn" },
  joining: { label: "Joins", tone: "warn" },
  unreachable: { label: "Not heard", tone: "bad" },
};
