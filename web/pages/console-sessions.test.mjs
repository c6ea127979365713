import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { enterConsole, id, launch, logIn, minutesAgo, shoot, until, withPage } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const promise = (name, body, { cluster, ...options } = {}) =>
  test(name, () => withPage(browser, body, { ...options, cluster: { admin: true, ...cluster } }));
const row = (session) => `${id("row")}[data-key="${session.id}"]`;

promise("sessions stand with their state, agent and numbers, and can be searched and filtered", async ({ page, broker, cluster }) => {
  const [first, second] = cluster.agents;
  cluster.addSession({ agent: first, user: "berta", created_at: minutesAgo(125), viewers: 1 });
  const away = cluster.addSession({ agent: second, user: "carla", created_at: minutesAgo(90), reachable: false, unreachable_since: minutesAgo(4) });
  const over = cluster.addSession({ agent: second, user: "dora", state: "ended", ended_at: minutesAgo(3), reason: "logged out of the desktop" });
  await enterConsole(page, broker);
  await page.waitForSelector(id("row"));
  assert.equal(await page.getAttribute(id("total"), "data-value"), "2");
  assert.equal(await page.getAttribute(id("unreachable"), "data-value"), "1");
  assert.match(await page.innerText(row(away)), /Unreachable\s+carla\s+desk-2\s+xfce/);
  await page.selectOption(id("filter"), "ended");
  await page.waitForSelector(row(over));
  await page.selectOption(id("filter"), "all");
  await page.fill(id("search"), "CARLA");
  await page.waitForSelector(`${id("grid")}[data-total="1"]`);
  await page.waitForSelector(row(away));
  await page.reload();
  await page.waitForSelector(`${id("grid")}[data-total="1"]`);
  assert.equal(await page.inputValue(id("search")), "CARLA", "a reload keeps what was asked");
});

promise("a session can be looked into, ended, abandoned and written to", async ({ page, broker, cluster }) => {
  const session = cluster.addSession({ user: "berta", created_at: minutesAgo(20), viewers: 1 });
  const away = cluster.addSession({ agent: cluster.agents[1], user: "carla", reachable: false, unreachable_since: minutesAgo(4) });
  await enterConsole(page, broker);
  await page.click(row(session));
  await page.waitForSelector(id("drawer"));
  await shoot(page, "console-session");

  await page.click(id("message"));
  await page.fill(id("message-text"), "The host is restarted at noon.");
  await page.selectOption(id("message-level"), "warning");
  await shoot(page, "console-message");
  await page.click(id("ask-yes"));
  await page.waitForSelector(id("said"));
  assert.match(await page.innerText(id("said")), /went to 1 session/);
  assert.deepEqual(cluster.office.messages, [{ to: { sessions: [session.id] }, text: "The host is restarted at noon.", level: "warning" }]);

  await page.click(id("end"));
  await page.click(id("confirm-no"));
  assert.equal(session.state, "running");
  await page.click(id("end"));
  await page.click(id("confirm-yes"));
  await until(() => session.state === "ended", "the session ends");
  await page.waitForFunction((which) => !document.querySelector(which), row(session));
  assert.match(await page.innerText(id("detail-state")), /Ending|Ended|Running/);

  await page.click(row(away));
  await page.click(id("abandon"));
  await page.click(id("confirm-yes"));
  await until(() => away.state === "lost", "the session is abandoned");
});

promise("an administrator looks on in a tab of its own", async ({ page, context, broker, cluster }) => {
  const session = cluster.addSession({ user: "berta" });
  await enterConsole(page, broker);
  await page.click(row(session));
  const opened = context.waitForEvent("page");
  await page.click(id("shadow"));
  const viewer = await opened;
  await viewer.waitForSelector('html[data-state="connected"]', { state: "attached" });
  assert.ok(broker.requests.includes(`POST /api/v1/sessions/${session.id}/shadow`));
});

promise("what a broker refuses is said as it says it, and what it does not know too", async ({ page, broker, cluster }) => {
  const session = cluster.addSession({ user: "berta" });
  await enterConsole(page, broker);
  await page.click(row(session));
  cluster.office.refuse = [403, ["forbidden", "You may not do this", { detail: "Nobody is there to ask." }]];
  await page.click(id("shadow"));
  await page.waitForSelector(id("problem"));
  assert.match(await page.innerText(id("problem")), /Nobody is there to ask/);
  cluster.office.unknown.add("sessions/");
  await page.click(id("shadow"));
  await page.waitForSelector(id("missing"));
  assert.match(await page.innerText(id("missing")), /older version/);
  cluster.office.unknown.add("messages");
  await page.click(id("message-all"));
  await page.fill(id("message-text"), "Hello");
  await page.click(id("ask-yes"));
  await page.waitForSelector(`${id("ask")} ${id("missing")}`);
});

promise("changes show without a reload, also when the page's broker is gone", async ({ page, broker, cluster }) => {
  cluster.addSession({ user: "berta" });
  await enterConsole(page, broker);
  await page.waitForSelector(id("row"));
  await until(() => cluster.events.size > 0, "the page follows the events");
  await page.waitForSelector(row(cluster.addSession({ user: "carla" })));
  await broker.stop();
  await until(() => cluster.brokers[1].requests.includes("GET /api/v1/events"), "the stream is taken up elsewhere");
  await page.waitForSelector(row(cluster.addSession({ user: "dora" })));
});

promise("ten thousand sessions scroll and are searched without a stutter", async ({ page, broker, cluster }) => {
  cluster.office.fill(10_000);
  await enterConsole(page, broker);
  await page.waitForSelector(`${id("grid")}[data-total="9800"]`);
  await page.waitForSelector(`${id("row")}[data-key]`);
  await shoot(page, "console-sessions-10000");
  assert.ok((await page.locator(id("row")).count()) < 60, "only what is seen is drawn");

  // A busy machine draws slowly by itself: what counts is what scrolling adds.
  const still = await page.evaluate(frames, [id("grid"), false]);
  const scrolling = await page.evaluate(frames, [id("grid"), true]);
  assert.ok(scrolling < 50 + 2 * still, `one of twenty frames took ${scrolling} ms, without scrolling ${still} ms`);
  await page.waitForFunction((which) => document.querySelectorAll(which).length > 10, `${id("row")}[data-key]`);

  await page.fill(id("search"), "user0001");
  await page.waitForSelector(`${id("grid")}[data-total="10"], ${id("grid")}[data-total="9"]`);
  await page.fill(id("search"), "");
  await page.waitForSelector(`${id("grid")}[data-total="9800"]`);
  // None of them can stand in an id, which is searched too and not shown.
  const took = [];
  for (const text of ["user012", "user045", "node-07", "xfce"]) took.push(await page.evaluate(search, [id("search"), id("grid"), text]));
  took.sort((a, b) => a - b);
  assert.ok(took[1] < 50, `searches took ${took.map(Math.round)} ms`);
});

/** Scrolls from the top to the end in a second, or stays; what the slowest of twenty frames took, ms. */
async function frames([which, scrolls]) {
  const grid = document.querySelector(which);
  const far = grid.scrollHeight - grid.clientHeight;
  const times = [];
  await new Promise((resolve) => {
    const began = performance.now();
    let last = began;
    const step = (now) => {
      times.push(now - last);
      last = now;
      if (scrolls) grid.scrollTop = (far * (now - began)) / 1000;
      if (now - began < 1000) requestAnimationFrame(step);
      else resolve();
    };
    requestAnimationFrame(step);
  });
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length * 0.95)];
}

/** Types a search; ms until the table shows what fits and nothing else. */
function search([field, grid, text]) {
  const input = document.querySelector(field);
  const table = document.querySelector(grid);
  const rows = () => [...table.querySelectorAll("[data-testid=row]")];
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`not in time: ${text}`)), 15_000);
    const began = performance.now();
    const look = new MutationObserver(() => {
      if (rows().length === 0 || !rows().every((it) => it.textContent.includes(text))) return;
      look.disconnect();
      resolve(performance.now() - began);
    });
    look.observe(table, { attributes: true, childList: true, characterData: true, subtree: true });
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

promise("everything can be done by keyboard", async ({ page, broker, cluster }) => {
  const sessions = ["ada", "berta", "carla"].map((user) => cluster.addSession({ user }));
  await enterConsole(page, broker);
  await page.waitForSelector(id("row"));
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  const focused = (what) => page.waitForFunction((it) => document.activeElement?.matches(it), what);

  await press("/");
  await focused(id("search"));
  await page.keyboard.type("a");
  await page.waitForSelector(`${id("grid")}[data-total="3"]`);
  // To the table, through whatever stands between.
  for (let i = 0; i < 12 && !(await page.evaluate((it) => document.activeElement.matches(it), id("grid"))); i++) await press("Tab");
  await focused(id("grid"));
  await press("ArrowDown", "ArrowDown", "Enter");
  await focused(id("drawer"));
  const opened = await page.getAttribute(`${id("row")}[aria-selected="true"]`, "data-key");
  assert.equal(opened, sessions[0].id, "the third of the newest first");
  await press("Escape");
  await focused(id("grid"));
  await press("Home", "Enter");
  await focused(id("drawer"));
  for (let i = 0; i < 12 && !(await page.evaluate((it) => document.activeElement.matches(it), id("end"))); i++) await press("Tab");
  await press("Enter");
  await focused(id("confirm-no"));
  await press("Tab", "Enter");
  await until(() => sessions[2].state === "ended", "the newest session ends");

  await page.focus(id("nav-agents"));
  await press("Enter");
  await focused(`${id("page")}[data-page="agents"]`);
});

promise(
  "the console is for administrators; others are told so, and the portal does not offer it",
  async ({ page, broker }) => {
    await logIn(page, broker);
    assert.equal(await page.locator(id("console")).count(), 0);
    await page.goto(`${broker.url}/console`);
    await page.waitForSelector(id("not-admin"));
    await shoot(page, "console-not-admin");
    assert.match(await page.innerText(id("not-admin")), /not among them/);
    assert.ok(!broker.requests.some((it) => it.startsWith("GET /api/v1/agents")));
  },
  { cluster: { admin: false } },
);

promise("the portal leads administrators to the console, without another login", async ({ page, broker, cluster }) => {
  cluster.addSession({ user: "berta" });
  await logIn(page, broker);
  await page.click(id("console"));
  await page.waitForSelector(id("row"));
  await page.click(id("logout"));
  await page.waitForSelector(id("note"));
  assert.equal(cluster.tokens.size, 0);
});

promise("an older broker that cannot search is put up with", async ({ page, broker, cluster }) => {
  cluster.office.cannotSearch = true;
  const session = cluster.addSession({ user: "berta" });
  await enterConsole(page, broker, "sessions?search=nobody");
  await page.waitForSelector(id("cannot-search"));
  await page.waitForSelector(row(session));
});
