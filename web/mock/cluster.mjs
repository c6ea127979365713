// Brokers and agents that answer as the pages expect, with handles to make them fail. It keeps just
// enough of the rules to test the pages by: who may call what from where, and under which headers.

import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { Office } from "./office.mjs";
import { Desktop, RfbServer } from "./rfb.mjs";
import { WebSocketPeer } from "./websocket.mjs";

const dist = (path) => fileURLToPath(new URL(`../dist/${path}`, import.meta.url));
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
export const USER = "anna";
export const PASSWORD = "correct horse";

/** All servers share one table, as if they never disagreed. */
export class Cluster {
  sessions = new Map();
  tokens = new Map();
  conversations = new Map();
  keys = new Map();
  tickets = new Map();
  passes = new Map();
  profiles = [{ name: "xfce", title: "XFCE desktop" }];
  /** Answers every start with this problem while set. */
  startProblem = null;
  /** Resolves before a start is answered. */
  startGate = Promise.resolve();
  /** Asks for a one-time code after the password. */
  secondFactor = false;
  events = new Set();
  /** Whether those who log in administer the cluster. */
  admin = false;
  office = new Office(this);

  static async start({ brokers = 2, agents = 2, port = 0, admin = false } = {}) {
    const cluster = new Cluster();
    cluster.admin = admin;
    cluster.headers = JSON.parse(await readFile(new URL("headers.json", import.meta.url), "utf8"));
    const start = async (make, first, n) => {
      const servers = Array.from({ length: n }, (_, i) => make(i, `127.0.0.${first + i}`));
      for (const server of servers) await server.listen(port);
      return servers;
    };
    cluster.brokers = await start((i, host) => new Broker(cluster, `broker-${i + 1}`, host), 11, brokers);
    cluster.agents = await start((i, host) => new Agent(cluster, `desk-${i + 1}`, host), 21, agents);
    return cluster;
  }

  async stop() {
    for (const server of [...this.brokers, ...this.agents]) await server.stop();
  }

  addSession(fields = {}) {
    const agent = fields.agent ?? this.agents[0];
    const session = {
      id: randomUUID(),
      user: USER,
      profile: "xfce",
      state: "running",
      reachable: true,
      unreachable_since: null,
      viewers: 0,
      created_at: new Date().toISOString(),
      ended_at: null,
      reason: null,
      verified: true,
      ...fields,
      agent: agent.name,
      agent_name: agent.name,
    };
    this.sessions.set(session.id, { session, agent, viewKey: randomBytes(16).toString("hex"), desktop: new Desktop() });
    this.changed();
    return session;
  }

  change(id, fields) {
    Object.assign(this.sessions.get(id).session, fields);
    this.changed();
  }

  changed(topic = "sessions") {
    for (const response of this.events) response.write(`event: ${topic}\ndata: {}\n\n`);
  }

  connect(id) {
    const { session, agent, viewKey } = this.sessions.get(id);
    const ticket = randomBytes(12).toString("hex");
    this.tickets.set(ticket, id);
    const viewer_url = `${agent.url}/s/${id}/${viewKey}`;
    const rfb_url = `${viewer_url.replace("http", "ws")}/rfb`;
    return { session, connect: { ticket, viewer_url, rfb_url, expires_at: new Date(Date.now() + 30_000).toISOString() } };
  }

  /** The headers of the Rust crate's test, with this cluster's servers in the places of its. */
  pageHeaders(page, server) {
    const headers = { ...this.headers[page] };
    const brokers = this.brokers.map((it) => it.url).join(" ");
    const agents = this.agents.filter((it) => !it.unlisted).map((it) => it.url).join(" ");
    headers["content-security-policy"] = headers["content-security-policy"]
      .replace("http://broker-a.test http://broker-b.test", brokers)
      .replace("http://agent-a.test http://agent-b.test", agents)
      .replace("ws://agent-a.test", server.url.replace("http", "ws"));
    return headers;
  }
}

class Server {
  constructor(cluster, name, host) {
    // Silent: like a process that was stopped; connections stand, and nothing comes.
    Object.assign(this, { cluster, name, host, port: 0, requests: [], silent: false });
  }

  get url() {
    return `http://${this.host}:${this.port}`;
  }

  /** Listens, on the same port as before if there was one. */
  async listen(port = this.port) {
    this.sockets = new Set();
    this.server = createServer((request, response) => {
      this.requests.push(`${request.method} ${request.url}`);
      if (this.silent) return;
      this.answer(request, response).catch((error) => {
        console.error(error);
        response.writeHead(500).end();
      });
    });
    this.server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    this.server.on("upgrade", (request, socket) => this.upgrade(request, socket));
    await new Promise((resolve) => this.server.listen(port, this.host, resolve));
    this.port = this.server.address().port;
  }

  /** Like a killed process: every connection breaks. */
  async stop() {
    for (const socket of this.sockets) socket.destroy();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }

  upgrade(_request, socket) {
    socket.destroy();
  }

  async file(response, path, headers = {}) {
    try {
      const body = await readFile(dist(path));
      response.writeHead(200, { "content-type": TYPES[path.split(".").pop()], ...headers }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  }
}

function json(response, status, value, headers = {}) {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type, ...headers }).end(JSON.stringify(value));
}

function problem(response, status, word, title, more = {}) {
  json(response, status, { type: `urn:abide:problem/${word}`, title, status, ...more });
}

async function bodyOf(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

class Broker extends Server {
  unknown = new Set();

  async answer(request, response) {
    const { pathname } = new URL(request.url, this.url);
    this.#cors(request, response);
    if (request.method === "OPTIONS") return void response.writeHead(204).end();
    if (pathname === "/") return this.file(response, "portal/index.html", this.cluster.pageHeaders("portal", this));
    if (pathname === "/console") return this.file(response, "console/index.html", this.cluster.pageHeaders("console", this));
    if (pathname.startsWith("/console/")) return this.file(response, pathname.slice(1));
    if (pathname.startsWith("/portal/")) return this.file(response, pathname.slice(1));
    if (pathname === "/healthz") return void response.end("ok");
    const body = JSON.parse((await bodyOf(request)) || "{}");
    if (request.headers.cookie) throw new Error("a broker was sent a cookie");
    if (pathname.startsWith("/api/v1/login")) return this.#login(response, pathname.slice("/api/v1/login/".length), body);
    if (pathname === "/api/v1/cluster") return json(response, 200, this.cluster.office.cluster(this));
    const bearer = request.headers.authorization?.replace("Bearer ", "");
    const status = /^\/api\/v1\/sessions\/([^/]+)\/status$/.exec(pathname);
    if (status) return this.#status(response, status[1], bearer);
    if (!this.cluster.tokens.has(bearer)) return problem(response, 401, "not-logged-in", "You are not logged in");
    return this.#signedIn(request, response, pathname, body, bearer);
  }

  #cors(request, response) {
    const { origin } = request.headers;
    const servers = [...this.cluster.brokers, ...this.cluster.agents];
    if (!servers.some((it) => it.url === origin)) return;
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("access-control-allow-headers", "authorization, content-type, idempotency-key");
    response.setHeader("access-control-allow-methods", "GET, POST, PUT, DELETE");
    response.setHeader("vary", "origin");
  }

  #login(response, id, body) {
    const { conversations, tokens, secondFactor } = this.cluster;
    let said;
    if (id === "") {
      said = { user: body.username, answers: [...(body.answers ?? [])] };
    } else {
      said = conversations.get(id);
      if (said?.broker !== this) return problem(response, 404, "not-found", "There is no such login");
      said.answers.push(...body.answers);
    }
    conversations.delete(id);
    const [password, code] = said.answers;
    const ask = (text, style, messages = []) => {
      const conversation = randomUUID();
      conversations.set(conversation, { ...said, broker: this });
      json(response, 200, { conversation, messages, prompts: [{ style, text }] });
    };
    if (password === undefined) return ask("Password: ", "echo-off");
    if (password !== PASSWORD) {
      const messages = [{ style: "error", text: "Authentication failure" }];
      return problem(response, 401, "login-refused", "The login was refused", { detail: "Check the user name and the password.", messages });
    }
    if (secondFactor && code === undefined) {
      return ask("Verification code: ", "echo-on", [{ style: "info", text: "A code was sent to your phone." }]);
    }
    const token = randomBytes(12).toString("hex");
    tokens.set(token, said.user);
    json(response, 200, { token, user: said.user, messages: [], expires_at: new Date(Date.now() + 3.6e6).toISOString() });
  }

  #status(response, id, bearer) {
    const known = this.cluster.sessions.get(id);
    if (!known || bearer !== `status-${id}`) return problem(response, 401, "not-logged-in", "You are not logged in");
    const { state, reachable, unreachable_since, reason } = known.session;
    json(response, 200, { id, state, reachable, unreachable_since, reason });
  }

  async #signedIn(request, response, pathname, body, token) {
    const { cluster } = this;
    const call = `${request.method} ${pathname.replace(/sessions\/[^/]+/, "sessions/*")}`;
    const id = pathname.split("/")[4];
    switch (call) {
      case "GET /api/v1/profiles":
        return json(response, 200, { profiles: cluster.profiles });
      case "GET /api/v1/account":
        return json(response, 200, { user: cluster.tokens.get(token), groups: [], admin: cluster.admin });
      case "GET /api/v1/sessions":
        return json(response, 200, cluster.office.sessions(new URL(request.url, this.url).searchParams));
      case "GET /api/v1/events":
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(": hello\n\n");
        cluster.events.add(response);
        return void response.on("close", () => cluster.events.delete(response));
      case "POST /api/v1/sessions":
        return this.#start(request, response, body);
      case "POST /api/v1/sessions/*/connect":
        return json(response, 200, cluster.connect(id));
      case "POST /api/v1/sessions/*/abandon":
        cluster.change(id, { state: "lost", reason: "abandoned by anna", ended_at: new Date().toISOString() });
        return void response.writeHead(204).end();
      case "DELETE /api/v1/sessions/*":
        cluster.change(id, { state: "ended", reason: "ended by its user", ended_at: new Date().toISOString() });
        return void response.writeHead(204).end();
      case "POST /api/v1/logout":
        if (body.everywhere) cluster.tokens.clear();
        cluster.tokens.delete(token);
        return void response.writeHead(204).end();
      default:
        return this.#administer(request, response, pathname, body);
    }
  }

  #administer(request, response, pathname, body) {
    if (!this.cluster.admin) return problem(response, 403, "forbidden", "You may not do this");
    const { searchParams } = new URL(request.url, this.url);
    const [status, value] = this.cluster.office.answer(this, request.method, pathname.slice("/api/v1/".length), searchParams, body);
    if (status >= 400) return problem(response, status, ...value);
    if (value === undefined) return void response.writeHead(status).end();
    json(response, status, value);
  }

  async #start(request, response, body) {
    const { cluster } = this;
    const key = request.headers["idempotency-key"];
    if (!key) return problem(response, 400, "bad-request", "The Idempotency-Key is missing");
    await cluster.startGate;
    const mine = [...cluster.sessions.values()].map((it) => it.session).filter((it) => it.state === "running");
    if (cluster.startProblem) return problem(response, ...cluster.startProblem);
    if (!cluster.keys.has(key)) {
      const old = body.want === "resume-or-start" && mine.at(-1);
      if (old && !old.reachable) {
        return problem(response, 409, "session-unreachable", "Your session cannot be reached now", { session: old });
      }
      const agent = cluster.agents.find((it) => it.server.listening);
      cluster.keys.set(key, (old || cluster.addSession({ agent, profile: body.profile ?? "xfce" })).id);
    }
    json(response, 200, cluster.connect(cluster.keys.get(key)));
  }
}

class Agent extends Server {
  peers = new Set();
  mode = "control";
  noting = new Set();
  note = { kind: "limit", text: null, ends_in_s: null };
  /** Seen with tickets, the Origin header of each. */
  origins = [];

  async answer(request, response) {
    const { pathname } = new URL(request.url, this.url);
    if (pathname.startsWith("/viewer/")) return this.file(response, pathname.slice(1));
    const [, id, viewKey, rest] = /^\/s\/([^/]+)\/([^/]+)(\/rfb\/(?:state|notes))?$/.exec(pathname) ?? [];
    const known = this.cluster.sessions.get(id);
    if (known?.viewKey !== viewKey) return problem(response, 404, "not-found", "There is no such thing");
    if (rest === "/rfb/notes") return this.#notes(request, response, id);
    if (rest) return this.#state(request, response, known.session);
    if (request.method === "POST") return this.#redeem(request, response, pathname, id);
    return this.file(response, "viewer/index.html", this.cluster.pageHeaders("viewer", this));
  }

  #notes(request, response, id) {
    if (!request.headers.cookie?.includes(`abide-pass-${id}=`)) return problem(response, 401, "pass-refused", "A pass is needed");
    response.writeHead(200, { "content-type": "text/event-stream" });
    this.noting.add(response);
    response.on("close", () => this.noting.delete(response));
    response.write(`data: ${JSON.stringify(this.note)}\n\n`);
  }

  /** What the people at this agent's viewers read from now on. */
  say(note) {
    this.note = { ...this.note, ...note };
    for (const response of this.noting) response.write(`data: ${JSON.stringify(this.note)}\n\n`);
  }

  async #redeem(request, response, pathname, id) {
    const { cluster } = this;
    const { origin } = request.headers;
    this.origins.push(origin);
    const ticket = new URLSearchParams(await bodyOf(request)).get("ticket");
    if (!cluster.brokers.some((it) => it.url === origin) || cluster.tickets.get(ticket) !== id) {
      return problem(response, 401, "pass-refused", "This way in is not valid, or no longer");
    }
    cluster.tickets.delete(ticket);
    const pass = randomBytes(12).toString("hex");
    cluster.passes.set(pass, id);
    const cookie = `abide-pass-${id}=${pass}; HttpOnly; SameSite=Strict; Path=${pathname}/rfb`;
    response.writeHead(303, { location: pathname, "set-cookie": cookie }).end();
  }

  #state(request, response, session) {
    const brokers = this.cluster.brokers.map((it) => it.url);
    if (session.state === "ended") return problem(response, 410, "session-ended", "The session has ended", { detail: session.reason, brokers });
    if (!this.#pass(request)) return problem(response, 401, "pass-refused", "This way in is not valid, or no longer", { brokers });
    const { id, profile, agent_name, state, viewers, user } = session;
    json(response, 200, { session: { id, profile, agent_name, state, viewers }, user, status_token: `status-${id}`, brokers, mode: this.mode });
  }

  upgrade(request, socket) {
    const id = request.url.split("/")[2];
    const known = this.cluster.sessions.get(id);
    const fits = known && request.url === `/s/${id}/${known.viewKey}/rfb` && request.headers.origin === this.url;
    if (!fits || !this.#pass(request)) return socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
    this.closeAll(4001);
    const peer = new WebSocketPeer(request, socket);
    peer.rfb = new RfbServer(peer, known.desktop);
    this.peers.add(peer);
    peer.on("close", () => this.peers.delete(peer));
  }

  closeAll(code) {
    for (const peer of this.peers) peer.close(code);
  }

  cutAll() {
    for (const peer of this.peers) peer.cut();
  }

  revokePasses() {
    this.cluster.passes.clear();
  }

  #pass(request) {
    const passes = (request.headers.cookie ?? "").matchAll(/abide-pass-([^=;\s]+)=(\w+)/g);
    return [...passes].some(([, id, pass]) => this.cluster.passes.get(pass) === id && request.url.includes(id));
  }
}
