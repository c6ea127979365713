import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PASSWORD, USER } from "../mock/cluster.mjs";
import { id, launch, shoot, until, withPage } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const promise = (name, body, { cluster, ...options } = {}) =>
  test(name, () => withPage(browser, body, { ...options, cluster: { admin: true, ...cluster } }));
const minutesAgo = (n) => new Date(Date.now() - n * 60_000).toISOString();

/** Logs in at the console and waits for a page of it. */
async function enter(page, broker, route = "sessions") {
  await page.goto(`${broker.url}/console#/${route}`);
  await page.fill(id("username"), USER);
  await page.click(id("submit"));
  await page.fill(id("answer-0"), PASSWORD);
  await page.click(id("submit"));
  await page.waitForSelector(`${id("page")}[data-page="${route.split("?")[0]}"]`);
}

promise("sessions are listed with their numbers", async ({ page, broker, cluster }) => {
  const [first, second] = cluster.agents;
  cluster.addSession({ agent: first, user: "berta", created_at: minutesAgo(125), viewers: 1 });
  cluster.addSession({ agent: second, user: "carla", created_at: minutesAgo(90), reachable: false, unreachable_since: minutesAgo(4) });
  cluster.addSession({ agent: second, user: "dora", state: "ended", ended_at: minutesAgo(3), reason: "logged out of the desktop" });
  await enter(page, broker);
  await page.waitForSelector(id("row"));
  await shoot(page, "console-sessions");
  assert.equal(await page.locator(id("row")).count(), 2);
});

promise("ten thousand sessions are listed and searched without a stutter", async ({ page, broker, cluster }) => {
  cluster.office.fill(10_000);
  await enter(page, broker);
  await page.waitForSelector(`${id("grid")}[data-total="9800"]`);
  await shoot(page, "console-sessions-10000");
  assert.ok((await page.locator(id("row")).count()) < 60);
});
