import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PASSWORD, USER } from "../mock/cluster.mjs";
import { id, launch, logIn, minutesAgo, reached, shoot, until, withPage } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const promise = (name, body, options) => test(name, () => withPage(browser, body, options));

promise("a person logs in and has a desktop in one click", async ({ page, broker, agent, cluster }) => {
  await page.goto(broker.url);
  await shoot(page, "login");
  await page.fill(id("username"), USER);
  await page.click(id("submit"));
  await page.fill(id("answer-0"), PASSWORD);
  await shoot(page, "login-password");
  await page.click(id("submit"));
  await page.waitForSelector(id("no-sessions"));
  await shoot(page, "portal-empty");
  await page.click(id("open-desktop"));
  await reached(page, "connected");
  assert.equal(cluster.sessions.size, 1);
  assert.deepEqual(agent.origins, [broker.url], "the agent sees which broker's page sent the ticket");
  assert.doesNotMatch(page.url(), /ticket/);
  assert.equal(await page.title(), `${USER} · connected · Abide`);
});

promise("a wrong password is refused in plain words, and the name stays", async ({ page, broker }) => {
  await page.goto(broker.url);
  await page.fill(id("username"), USER);
  await page.click(id("submit"));
  await page.fill(id("answer-0"), "wrong");
  await page.click(id("submit"));
  await page.waitForSelector(id("problem"));
  await shoot(page, "login-refused");
  assert.match(await page.innerText(id("problem")), /login was refused/);
  assert.equal(await page.inputValue(id("username")), USER);
  assert.equal(await page.locator(id("answer-0")).count(), 0);
});

promise("a login goes on at another broker when the first dies", async ({ page, broker, cluster }) => {
  await logInUntilCode(page, cluster, broker);
  await broker.stop();
  await page.fill(id("answer-0"), "123456");
  await page.click(id("submit"));
  await page.waitForSelector(id("open-desktop"));
  assert.ok(cluster.brokers[1].requests.includes("POST /api/v1/login"), "the answers were said again");
});

promise(
  "with one broker the login waits, says so, and goes on",
  async ({ page, broker, cluster }) => {
    await logInUntilCode(page, cluster, broker);
    await shoot(page, "login-code");
    await broker.stop();
    await page.fill(id("answer-0"), "123456");
    await page.click(id("submit"));
    await page.waitForSelector(id("trouble"));
    await shoot(page, "login-no-broker");
    assert.match(await page.innerText(id("trouble")), /The broker does not answer. Trying again…/);
    await broker.listen();
    await page.waitForSelector(id("open-desktop"));
  },
  { cluster: { brokers: 1 } },
);

promise(
  "a login that waits for a broker can be started over",
  async ({ page, broker, cluster }) => {
    await logInUntilCode(page, cluster, broker);
    await broker.stop();
    await page.fill(id("answer-0"), "123456");
    await page.click(id("submit"));
    await page.waitForSelector(id("trouble"));
    await page.click(id("cancel"));
    await broker.listen();
    await page.fill(id("username"), "berta");
    await page.click(id("submit"));
    await page.fill(id("answer-0"), PASSWORD);
    assert.equal(await page.locator(id("problem")).count(), 0);
  },
  { cluster: { brokers: 1 } },
);

/** The page learns of the other brokers from an earlier visit of this tab. */
async function logInUntilCode(page, cluster, broker) {
  cluster.secondFactor = true;
  await page.goto(broker.url);
  await page.evaluate((urls) => sessionStorage.setItem("abide.brokers", JSON.stringify(urls)), cluster.brokers.map((it) => it.url));
  await page.reload();
  await page.fill(id("username"), USER);
  await page.click(id("submit"));
  await page.fill(id("answer-0"), PASSWORD);
  await page.click(id("submit"));
  await page.waitForSelector(`${id("message")}.info`);
}

promise("sessions stand with state, since when, and what can be done", async ({ page, broker, cluster }) => {
  const [first, second] = cluster.agents;
  cluster.addSession({ agent: first, created_at: minutesAgo(125), viewers: 1 });
  const away = cluster.addSession({ agent: second, created_at: minutesAgo(90), reachable: false, unreachable_since: minutesAgo(4) });
  const gone = { agent: second, created_at: minutesAgo(600), ended_at: minutesAgo(300) };
  cluster.addSession({ ...gone, state: "lost", reason: "the host runs under another boot id" });
  cluster.addSession({ ...gone, state: "ended", reason: "logged out of the desktop" });
  cluster.addSession({ agent: first, state: "starting" });
  await logIn(page, broker);
  await page.waitForSelector(id("session-row"));
  await shoot(page, "portal-sessions");
  const row = page.locator(`${id("session-row")}[data-session-id="${away.id}"]`);
  assert.equal(await row.getAttribute("data-standing"), "unreachable");
  assert.match(await row.innerText(), /has heard from its server since .* \(4 minutes ago\)/);
  assert.match(await page.innerText(".lost"), /How that is known: the host runs under another boot id\./);

  await row.locator(id("abandon")).click();
  await shoot(page, "portal-abandon");
  await page.click(id("confirm-yes"));
  await page.waitForSelector(`${id("session-row")}[data-session-id="${away.id}"][data-state="lost"]`);
});

promise("a change shows without a reload, and ending asks first", async ({ page, broker, cluster }) => {
  await logIn(page, broker);
  await until(() => cluster.events.size > 0, "the page follows the events");
  const session = cluster.addSession();
  const row = `${id("session-row")}[data-session-id="${session.id}"]`;
  await page.waitForSelector(`${row}[data-state="running"]`);
  await page.click(`${row} ${id("end")}`);
  await page.click(id("confirm-no"));
  assert.equal(session.state, "running");
  await page.click(`${row} ${id("end")}`);
  await shoot(page, "portal-end");
  await page.click(id("confirm-yes"));
  await page.waitForSelector(`${row}[data-state="ended"]`);
});

promise("without an event stream changes show by polling", async ({ page, broker, cluster }) => {
  await logIn(page, broker);
  await until(() => cluster.events.size > 0, "the page follows the events");
  for (const response of cluster.events) response.destroy();
  cluster.events = { add: (response) => response.destroy(), delete: () => true, [Symbol.iterator]: () => [][Symbol.iterator]() };
  const session = cluster.addSession();
  await page.waitForSelector(`${id("session-row")}[data-session-id="${session.id}"]`);
});

promise("an unreachable desktop offers waiting, and opens when it is back", async ({ page, broker, cluster }) => {
  const session = cluster.addSession({ reachable: false, unreachable_since: minutesAgo(2) });
  await logIn(page, broker);
  await page.click(id("open-desktop"));
  await page.waitForSelector(id("unreachable"));
  await shoot(page, "portal-unreachable");
  await page.click(id("wait"));
  await page.waitForSelector(id("waiting"));
  await shoot(page, "portal-waiting");
  cluster.change(session.id, { reachable: true, unreachable_since: null });
  await reached(page, "connected");
});

promise("an unreachable desktop does not keep one from starting another", async ({ page, broker, cluster }) => {
  const session = cluster.addSession({ agent: cluster.agents[1], reachable: false, unreachable_since: minutesAgo(2) });
  await logIn(page, broker);
  await page.click(id("open-desktop"));
  await page.click(id("start-another-now"));
  await reached(page, "connected");
  assert.equal(cluster.sessions.size, 2);
  assert.ok(!page.url().includes(session.id));
});

promise("a start that outlives its broker gives one desktop", async ({ page, broker, cluster }) => {
  await logIn(page, broker);
  await until(() => broker.requests.includes("GET /api/v1/profiles"), "the page knows the brokers");
  let open;
  cluster.startGate = new Promise((resolve) => (open = resolve));
  await page.click(id("open-desktop"));
  await page.waitForSelector(id("opening"));
  await shoot(page, "portal-opening");
  await broker.stop();
  await until(() => cluster.brokers[1].requests.includes("POST /api/v1/sessions"), "another broker is asked");
  open();
  await reached(page, "connected");
  assert.equal(cluster.sessions.size, 1, "the key was the same");
});

promise("the page goes on against another broker when its own is gone", async ({ page, broker, cluster }) => {
  await logIn(page, broker);
  await until(() => cluster.events.size > 0, "the page follows the events");
  await broker.stop();
  await until(() => cluster.brokers[1].requests.includes("GET /api/v1/events"), "the stream is taken up elsewhere");
  const session = cluster.addSession();
  const row = `${id("session-row")}[data-session-id="${session.id}"]`;
  await page.waitForSelector(row);
  await shoot(page, "portal-without-its-broker");
  await page.click(`${row} ${id("resume")}`);
  await reached(page, "connected");
});

promise("a start at a broker that falls silent is soon answered by another", async ({ page, broker, cluster }) => {
  await logIn(page, broker);
  await until(() => broker.requests.includes("GET /api/v1/profiles"), "the page knows the brokers");
  broker.silent = true;
  const began = Date.now();
  await page.click(id("open-desktop"));
  await until(() => cluster.brokers[1].requests.includes("POST /api/v1/sessions"), "another broker is asked");
  assert.ok(Date.now() - began < 2000, `only after ${Date.now() - began} ms`);
  await reached(page, "connected");
});

promise("somebody who has not logged in yet moves on too", async ({ page, broker, cluster }) => {
  await page.goto(broker.url);
  await until(() => broker.requests.includes("GET /api/v1/cluster"), "the page asks for the brokers");
  await page.waitForFunction(() => JSON.parse(sessionStorage.getItem("abide.brokers") ?? "[]").length === 2);
  await broker.stop();
  await page.fill(id("username"), USER);
  await page.click(id("submit"));
  await page.fill(id("answer-0"), PASSWORD);
  await page.click(id("submit"));
  await page.waitForSelector(id("open-desktop"));
  assert.ok(cluster.brokers[1].requests.includes("POST /api/v1/login"));
});

promise("what a broker refuses is said as it says it", async ({ page, broker, cluster }) => {
  cluster.startProblem = [503, "no-agent", "No desktop host can take a new session now", { detail: "Two hosts drain, none is left." }];
  await logIn(page, broker);
  await page.click(id("open-desktop"));
  await page.waitForSelector(id("problem"));
  await shoot(page, "portal-problem");
  assert.match(await page.innerText(id("problem")), /No desktop host can take a new session now\s+Two hosts drain/);
  cluster.startProblem = null;
  await page.click(id("again"));
  await reached(page, "connected");
});

promise("a link to a session points it out after the login", async ({ page, broker, cluster }) => {
  cluster.addSession();
  const session = cluster.addSession();
  await logIn(page, broker, `#session=${session.id}`);
  const row = page.locator(`${id("session-row")}[data-session-id="${session.id}"]`);
  await row.and(page.locator(".wanted")).waitFor();
  assert.ok(await row.locator(`${id("resume")}:focus`).count());
});

promise(
  "an agent that joined since gets its ticket after a reload",
  async ({ page, broker, cluster }) => {
    const [old, joined] = cluster.agents;
    joined.unlisted = true;
    await logIn(page, broker);
    joined.unlisted = false;
    await old.stop();
    await page.click(id("open-desktop"));
    await reached(page, "connected");
    assert.equal(new URL(page.url()).origin, joined.url);
  },
  { expected: [/form-action/] },
);

promise("several profiles give a choice", async ({ page, broker, cluster }) => {
  cluster.profiles.push({ name: "terminal", title: "A terminal only" });
  await logIn(page, broker);
  await page.selectOption(id("profile"), "terminal");
  await page.click(id("open-desktop"));
  await reached(page, "connected");
  assert.equal([...cluster.sessions.values()][0].session.profile, "terminal");
});

promise("what administrators want everybody to read stands before the login and after it", async ({ page, broker, cluster }) => {
  cluster.office.notice = "Maintenance on Saturday from 8 to 10.";
  await page.goto(broker.url);
  await page.waitForSelector(id("notice"));
  await shoot(page, "login-notice");
  await logIn(page, broker);
  assert.equal(await page.innerText(id("notice")), "Maintenance on Saturday from 8 to 10.");
});

promise("logging out forgets the token and ends no desktop", async ({ page, broker, cluster }) => {
  const session = cluster.addSession();
  await logIn(page, broker);
  await page.click(id("logout"));
  await page.waitForSelector(id("note"));
  await shoot(page, "portal-logged-out");
  assert.match(await page.innerText(id("note")), /Your desktops keep running/);
  assert.equal(await page.evaluate(() => sessionStorage.getItem("abide.signed-in")), null);
  assert.equal(cluster.tokens.size, 0);
  assert.equal(session.state, "running");
});

promise("logging out everywhere ends every token", async ({ page, broker, cluster }) => {
  await logIn(page, broker);
  cluster.tokens.set("another browser's", USER);
  await page.click(id("logout-everywhere"));
  await page.click(id("confirm-yes"));
  await page.waitForSelector(id("note"));
  assert.equal(cluster.tokens.size, 0);
});

promise("a token that ends leads back to the login", async ({ page, broker, cluster }) => {
  await logIn(page, broker);
  await until(() => cluster.events.size > 0, "the page follows the events");
  cluster.tokens.clear();
  cluster.addSession();
  await page.waitForSelector(id("note"));
  assert.match(await page.innerText(id("note")), /signed out/);
});

promise(
  "it fits a narrow dark screen",
  async ({ page, broker, cluster }) => {
    cluster.addSession({ viewers: 2 });
    cluster.addSession({ reachable: false, unreachable_since: minutesAgo(9) });
    await logIn(page, broker);
    await page.waitForSelector(id("session-row"));
    await shoot(page, "portal-narrow-dark");
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `nothing to scroll sideways, but ${width} px`);
  },
  { context: { viewport: { width: 360, height: 740 }, colorScheme: "dark" } },
);
