import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { enterConsole, id, launch, minutesAgo, shoot, until, withPage } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const promise = (name, body, { cluster, ...options } = {}) =>
  test(name, () => withPage(browser, body, { ...options, cluster: { admin: true, ...cluster } }));
const row = (agent) => `${id("row")}[data-key="${agent}"]`;

promise("agents stand with their load, and an hour of it", async ({ page, broker, cluster }) => {
  cluster.office.fill(1200);
  cluster.office.agentFields.set("node-04", { failed_at: minutesAgo(2) });
  await enterConsole(page, broker, "agents");
  await page.waitForSelector(row("id-node-01"));
  await shoot(page, "console-agents");
  assert.equal(await page.getAttribute(id("total"), "data-value"), "42");
  assert.match(await page.innerText(row("id-node-04")), /A start failed/);
  await page.click(id("sort-sessions"));
  await page.fill(id("search"), "node-01");
  await page.waitForSelector(`${id("grid")}[data-total="1"]`);
  await page.click(row("id-node-01"));
  await page.waitForSelector(`${id("history")} canvas`);
  await until(() => page.locator(`${id("history")} canvas`).count().then((n) => n === 4), "four charts");
  await shoot(page, "console-agent");
  assert.match(await page.innerText(id("agent-sessions")), /^\d+$/);
  await page.reload();
  await page.waitForSelector(`${id("history")} canvas`);
});

promise("an agent is drained by a plan, and the drain is cancelled", async ({ page, broker, cluster }) => {
  cluster.addSession({ user: "berta" });
  await enterConsole(page, broker, "agents?agent=desk-1");
  await page.click(id("drain-open"));
  await page.fill(id("drain-deadline"), "soon");
  await page.click(id("ask-yes"));
  assert.equal(cluster.office.agentFields.size, 0, "a span that is none goes nowhere");
  await page.fill(id("drain-deadline"), "1h30m");
  await page.selectOption(id("drain-then"), "end");
  await page.fill(id("drain-message"), "The host gets a new disk.");
  await shoot(page, "console-drain");
  await page.click(id("ask-yes"));
  await page.waitForSelector(id("drain"));
  await shoot(page, "console-drained");
  assert.match(await page.innerText(id("said")), /The other agents have room for 200/);
  assert.match(await page.innerText(id("drain")), /1 session left[^]*in 1 h 30 min[^]*is ended[^]*new disk/);
  const { deadline, message, then } = cluster.office.agentFields.get("desk-1").drain;
  assert.deepEqual([Math.round((Date.parse(deadline) - Date.now()) / 60_000), message, then], [90, "The host gets a new disk.", "end"]);
  await page.click(id("undrain"));
  await page.click(id("confirm-yes"));
  await page.waitForSelector(id("drain"), { state: "detached" });
});

promise(
  "a drain that the others cannot take is refused first, with the numbers",
  async ({ page, broker, cluster }) => {
    cluster.addSession({ user: "berta" });
    await enterConsole(page, broker, "agents?agent=desk-1");
    await page.click(id("drain-open"));
    await page.click(id("ask-yes"));
    await page.waitForSelector(id("problem"));
    await shoot(page, "console-drain-refused");
    assert.match(await page.innerText(id("problem")), /room for 0, and 1 are here/);
    await page.check(id("drain-force"));
    await page.click(id("ask-yes"));
    await page.waitForSelector(id("drain"));
  },
  { cluster: { agents: 1 } },
);

promise("an agent's weight leads to its place in the configuration", async ({ page, broker, cluster }) => {
  cluster.office.configs.push({ version: 1, text: "[limits]\nidle = \"8h\"\n\n[agent.desk-1]\nweight = 3\n", at: minutesAgo(9), by: "anna", note: null });
  await enterConsole(page, broker, "agents?agent=desk-1");
  await page.click("text=change it in the configuration");
  await page.waitForSelector(id("editor"));
  await page.waitForFunction((which) => {
    const area = document.querySelector(which);
    return document.activeElement === area && area.value.slice(area.selectionStart, area.selectionEnd) === "[agent.desk-1]";
  }, id("editor"));
});

promise("a placement is explained, agent by agent", async ({ page, broker, cluster }) => {
  cluster.office.fill(300, 12);
  cluster.office.agentFields.set("node-02", { drain: { by: "anna", since: minutesAgo(1), deadline: null, message: null, then: "keep" } });
  await enterConsole(page, broker, "placement");
  await page.fill(id("user-name"), "ada");
  await page.fill(id("groups"), "students, engineers");
  await page.click(id("explain"));
  await page.waitForSelector(id("answer"));
  await shoot(page, "console-placement");
  const taken = await page.getAttribute(id("answer"), "data-taken");
  assert.equal(await page.getAttribute(`${id("explained")} >> nth=0`, "data-id"), taken, "the one that is taken stands first");
  assert.match(await page.innerText(id("answer")), /ada[^]*pool engineering/);
  assert.match(await page.innerText(`${id("explained")}[data-id="id-node-02"]`), /Drained[^]*being emptied/);
  assert.ok(broker.requests.includes("GET /api/v1/placement?user=ada&groups=students%2Cengineers"));
  await page.reload();
  await page.waitForSelector(id("answer"));
  cluster.office.unknown.add("placement");
  await page.click(id("explain"));
  await page.waitForSelector(id("missing"));
});
