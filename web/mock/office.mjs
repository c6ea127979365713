// What the mock brokers answer to administrators. See cluster.mjs.

import { randomUUID } from "node:crypto";

const LIVE = ["reserved", "starting", "running", "ending"];
const GiB = 2 ** 30;
const NOTHING = (pathname) => [404, ["not-found", "There is no such thing", { detail: `Nothing is at ${pathname}.` }]];
const ago = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();

export class Office {
  /** Agents beyond those that serve viewers: as the interface shows them. */
  more = [];
  /** By agent's name: what is different from an agent with nothing special. */
  agentFields = new Map();
  configs = [{ version: 0, text: "", at: null, by: null, note: null }];
  /** By broker's name, oldest first. */
  logs = new Map();
  messages = [];
  /** Paths that older brokers would not know; what one of them does not know stands with it. */
  unknown = new Set();
  /** Older brokers give all sessions, whatever they are asked. */
  cannotSearch = false;
  generation = 1;
  term = 7;
  clockProblem = null;
  notice = null;
  /** Answers the next change of this kind so: [status, [word, title, more]]. */
  refuse = null;

  constructor(cluster) {
    this.world = cluster;
  }

  /** `n` sessions of many people on many agents, made at once. */
  fill(n, agents = 40) {
    this.more = Array.from({ length: agents }, (_, i) => `node-${String(i + 1).padStart(2, "0")}`);
    for (let i = 0; i < n; i++) {
      const agent = this.more[i % agents];
      const state = i % 50 === 7 ? "ended" : i % 97 === 3 ? "starting" : "running";
      const away = agent === "node-13" && state === "running";
      const session = {
        id: randomUUID(),
        user: `user${String((i * 7919) % n).padStart(5, "0")}`,
        agent: `id-${agent}`,
        agent_name: agent,
        profile: i % 5 === 0 ? "cad" : "xfce",
        state,
        reachable: state !== "ended" && !away,
        unreachable_since: away ? ago(240) : null,
        viewers: i % 3 === 0 ? 1 : 0,
        created_at: ago(i * 11),
        ended_at: state === "ended" ? ago(i) : null,
        reason: state === "ended" ? "logged out of the desktop" : null,
        verified: true,
      };
      this.world.sessions.set(session.id, { session, agent: this.world.agents[0], viewKey: "", desktop: null });
    }
  }

  sessions(query) {
    const all = [...this.world.sessions.values()].map((it) => it.session).reverse();
    const get = (name) => query.get(name);
    if (this.cannotSearch || query.size === 0) return { sessions: all };
    const search = (get("search") ?? "").toLowerCase();
    const fits = (it) =>
      (get("agent") ?? it.agent) === it.agent &&
      (get("user") ?? it.user) === it.user &&
      (get("profile") ?? it.profile) === it.profile &&
      [it.user, it.agent_name, it.profile, it.id].some((text) => text.toLowerCase().includes(search));
    const alike = all.filter(fits);
    const counts = { reserved: 0, starting: 0, running: 0, ending: 0, ended: 0, lost: 0, unreachable: 0, unverified: 0 };
    for (const it of alike) {
      counts[it.state]++;
      if (LIVE.includes(it.state) && !it.reachable) counts.unreachable++;
      if (!it.verified) counts.unverified++;
    }
    const states = get("state")?.split(",");
    const chosen = alike.filter(
      (it) =>
        (!states || states.includes(it.state)) &&
        (get("reachable") === null || String(it.reachable) === get("reachable")) &&
        (get("verified") === null || String(it.verified) === get("verified")),
    );
    const [, down, by] = /^(-?)(\w+)$/.exec(get("sort") ?? "-created");
    const value = { created: "created_at", agent: "agent_name" }[by] ?? by;
    const order = (a, b) => (a[value] < b[value] ? -1 : a[value] > b[value] ? 1 : 0);
    chosen.sort((a, b) => (down ? order(b, a) : order(a, b)));
    const skip = Number(get("skip") ?? 0);
    return { sessions: chosen.slice(skip, skip + Number(get("limit") ?? chosen.length)), total: chosen.length, counts };
  }

  agents() {
    const names = [...this.world.agents.map((it) => it.name), ...this.more];
    const rows = [...this.world.sessions.values()].map((it) => it.session).filter((it) => LIVE.includes(it.state));
    return names.map((name, i) => {
      const mine = rows.filter((it) => it.agent_name === name);
      return {
        id: this.world.agents.some((it) => it.name === name) ? name : `id-${name}`,
        name,
        url: `https://${name}.example`,
        reachable: name !== "node-13",
        unreachable_since: name === "node-13" ? ago(240) : null,
        weight: 1 + (i % 3),
        sessions: mine.filter((it) => it.state !== "reserved").length,
        reserved: mine.filter((it) => it.state === "reserved").length,
        viewers: mine.reduce((sum, it) => sum + it.viewers, 0),
        profiles: ["xfce", "cad"],
        labels: i % 4 === 0 ? ["gpu"] : [],
        max_sessions: null,
        drain: null,
        failed_at: null,
        load: {
          at: ago(0),
          memory_available: (12 + ((i * 5) % 17)) * GiB,
          memory_total: 32 * GiB,
          cpus: 16,
          load1: Number((1.3 + ((i * 3.7) % 13)).toFixed(2)),
          cpu_pressure: Number(((i * 2.3) % 31).toFixed(1)),
          memory_pressure: Number(((i * 0.4) % 3).toFixed(1)),
          clock_offset_ms: 3,
        },
        ...this.agentFields.get(name),
      };
    });
  }

  history(id, broker) {
    const agent = this.agents().find((it) => it.id === id);
    const sample = (i) => ({
      at: ago((359 - i) * 10),
      sessions: Math.max(0, Math.round(agent.sessions * (0.6 + i / 900))),
      viewers: Math.round(agent.viewers * (0.5 + Math.sin(i / 50) / 5)),
      load1: Number((agent.load.load1 * (0.8 + Math.sin(i / 23) / 4 + Math.sin(i / 3) / 30)).toFixed(2)),
      memory_available: Number((60 + Math.cos(i / 70) * 12).toFixed(1)),
      cpu_pressure: Number(Math.max(0, 8 + Math.sin(i / 23) * 9).toFixed(1)),
      memory_pressure: Number(Math.max(0, Math.sin(i / 40)).toFixed(1)),
    });
    const samples = Array.from({ length: 360 }, (_, i) => (i > 200 && i < 222 ? null : sample(i)));
    return { agent: id, answered_by: broker.name, every_s: 10, samples };
  }

  cluster(broker) {
    const rows = this.world.brokers.map(({ name, url }, i) => ({
      id: name,
      url,
      role: i === this.world.brokers.length - 1 ? "leader" : "follower",
      lag: 0,
      last_contact_ms: name === broker.name ? null : 40 + i,
      node: i + 1,
      timing: "lan",
      clock_offset_ms: i * 3,
      wire: 2,
    }));
    return {
      cluster: "6f1c2f0e-6a0c-4a2e-9f3b-2b7a3c1d9e10",
      answered_by: broker.name,
      leader: rows.at(-1).id,
      brokers: rows,
      generation: this.generation,
      term: this.term,
      voters: rows.length,
      can_lose: Math.floor((rows.length - 1) / 2),
      clock_problem: this.clockProblem,
      elections_started: 2,
      elections_won: 1,
      wire: 2,
      wire_problem: null,
      notice: this.notice,
    };
  }

  placement(query) {
    const agents = this.agents();
    const load = (it) => (it.sessions + it.reserved + 1) / it.weight;
    const able = agents.filter((it) => it.reachable && !it.drain);
    const taken = able.reduce((best, it) => (best === null || load(it) < load(best) ? it : best), null);
    const after = (it) => load(it).toFixed(2);
    const why = (it) => {
      if (!it.reachable) return ["unreachable", "no broker hears it"];
      if (it.drain) return ["drained", "it is being emptied"];
      if (it === taken) return ["taken", `it will have ${after(it)} sessions per weight, the fewest`];
      return ["more-loaded", `it would have ${after(it)} sessions per weight, the taken one has ${after(taken)}`];
    };
    return {
      user: query.get("user"),
      profile: query.get("profile") ?? "xfce",
      pool: query.get("groups")?.includes("engineers") ? "engineering" : null,
      taken: taken?.id ?? null,
      refusal: taken ? null : "No agent can take it.",
      agents: [...agents].sort((a, b) => (b === taken) - (a === taken) || able.includes(b) - able.includes(a)).map((it) => ({
        id: it.id,
        name: it.name,
        verdict: why(it)[0],
        why: why(it)[1],
        sessions: it.sessions,
        reserved: it.reserved,
        weight: it.weight,
        load: Number(load(it).toFixed(3)),
        cpu_pressure: it.load.cpu_pressure,
        memory_pressure: it.load.memory_pressure,
        memory_left: Number(((it.load.memory_available / it.load.memory_total) * 100).toFixed(1)),
      })),
    };
  }

  #check(text) {
    const lines = text.split("\n");
    return lines.flatMap((line, i) => (/aks/.test(line) ? [`cluster.toml:${i + 1}: shadow.mode: "aks" is none of reject, silent, notify, ask`] : []));
  }

  #configure({ base, text, note }) {
    const current = this.configs.at(-1);
    const problems = this.#check(text);
    if (base !== current.version) return [409, ["config-changed", "Somebody else changed the configuration meanwhile", { detail: `It is version ${current.version} now.` }]];
    if (problems.length > 0) return [400, ["bad-request", "The configuration has problems", { detail: problems.join("\n") }]];
    this.configs.push({ version: current.version + 1, text, at: ago(0), by: "anna", note: note ?? null });
    this.world.changed("config");
    return [200, this.configs.at(-1)];
  }

  log(broker, fields) {
    const log = this.logs.get(broker.name) ?? [];
    this.logs.set(broker.name, log);
    log.push({ id: `7-${log.length}`, at: ago(0), decision: "login", verdict: "allowed", user: "anna", address: "192.0.2.7", ...fields });
  }

  #audit(broker, query) {
    const log = this.logs.get(broker.name) ?? [];
    const text = (query.get("search") ?? "").toLowerCase();
    const end = query.has("before") ? log.findIndex((it) => it.id === query.get("before")) : log.length;
    const fits = (it) =>
      ["user", "decision", "verdict"].every((name) => (query.get(name) ?? it[name]) === it[name]) && JSON.stringify(it).toLowerCase().includes(text);
    const found = log.slice(0, end).reverse().filter(fits);
    const limit = Number(query.get("limit"));
    const records = found.slice(0, limit);
    return { broker: broker.name, records, before: found.length > limit ? records.at(-1).id : null };
  }

  #message({ to, text, level }) {
    this.messages.push({ to, text, level });
    const live = [...this.world.sessions.values()].map((it) => it.session).filter((it) => LIVE.includes(it.state));
    const named = to === "all" ? live : live.filter((it) => to.sessions?.includes(it.id) || to.users?.includes(it.user) || to.agents?.includes(it.agent));
    const away = named.filter((it) => !it.reachable);
    return [200, { told: named.length - away.length, unreachable: away.map((it) => it.id) }];
  }

  #drain(id, body) {
    const agent = this.agents().find((it) => it.id === id);
    const room = this.agents().length > 1 ? 200 : 0;
    const fits = room >= agent.sessions;
    const check = { sessions: agent.sessions, room_elsewhere: room, fits, why: fits ? `The other agents have room for ${room}.` : `The other agents have room for ${room}, and ${agent.sessions} are here.` };
    if (!fits && !body.force) return [409, ["no-room-elsewhere", "The other agents cannot take this one's sessions", { detail: check.why }]];
    const deadline = body.deadline_s ? new Date(Date.now() + body.deadline_s * 1000).toISOString() : null;
    const drain = { by: "anna", since: ago(0), deadline, message: body.message ?? null, then: body.then ?? "keep" };
    this.agentFields.set(agent.name, { ...this.agentFields.get(agent.name), drain });
    this.world.changed("agents");
    return [200, { drain, check }];
  }

  /** The status, and the body; a refusal's is [word, title, more]. */
  answer(broker, method, path, query, body) {
    if ([...this.unknown, ...broker.unknown].some((it) => path.startsWith(it))) return NOTHING(path);
    if (this.refuse && method !== "GET") {
      const refusal = this.refuse;
      this.refuse = null;
      return refusal;
    }
    const [, id] = path.split("/");
    const version = this.configs.find((it) => String(it.version) === id);
    switch (`${method} ${path.replace(/^(sessions|agents)\/[^/]+/, "$1/*")}`) {
      case "GET agents":
        return [200, { agents: this.agents() }];
      case "GET agents/*/history":
        return [200, this.history(id, broker)];
      case "PUT agents/*/drain":
        return this.#drain(id, body);
      case "DELETE agents/*/drain": {
        const { name } = this.agents().find((it) => it.id === id);
        this.agentFields.set(name, { ...this.agentFields.get(name), drain: null });
        this.world.changed("agents");
        return [204];
      }
      case "GET placement":
        return [200, this.placement(query)];
      case "GET config":
        return [200, this.configs.at(-1)];
      case "PUT config":
        return this.#configure(body);
      case "POST config/check":
        return [200, { problems: this.#check(body.text) }];
      case "GET config/history":
        return [200, { versions: this.configs.slice(1).map(({ text: _, ...it }) => it) }];
      case "GET audit":
        return [200, this.#audit(broker, query)];
      case "POST messages":
        return this.#message(body);
      case "POST sessions/*/shadow":
        return [200, this.world.connect(id)];
      default:
        return method === "GET" && path.startsWith("config/") && version ? [200, version] : NOTHING(path);
    }
  }
}
