// How the console looks and whether everybody can use it: each page in both schemes, wide and
// narrow, under axe-core's rules.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { enterConsole, id, launch, minutesAgo, shoot, withPage } from "./browser.mjs";

let browser;
let axe;
before(async () => {
  browser = await launch();
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
});
after(() => browser.close());

const SERIOUS = ["serious", "critical"];

/** What axe-core finds that keeps people out. */
async function findings(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations.filter((it) => SERIOUS.includes(it.impact)).map((it) => `${it.id}: ${it.help}\n${it.nodes.map((node) => `  ${node.html}\n  ${node.failureSummary}`).join("\n")}`);
}

async function fine(page, where) {
  assert.deepEqual(await findings(page), [], where);
}

function furnish(cluster) {
  const { office, brokers, agents } = cluster;
  office.fill(400, 14);
  cluster.addSession({ user: "berta", reachable: false, unreachable_since: minutesAgo(3) });
  cluster.addSession({ user: "", verified: false, agent: agents[1] });
  office.agentFields.set("node-02", { drain: { by: "anna", since: minutesAgo(5), deadline: minutesAgo(-55), message: "A new disk.", then: "end" } });
  office.agentFields.set("node-04", { failed_at: minutesAgo(2) });
  office.configs.push({ version: 1, text: "[limits]\nidle = \"8h\"\n\n[shadow]\nmode = \"ask\"\n", at: minutesAgo(30), by: "anna", note: "First limits" });
  for (let i = 0; i < 40; i++) office.log(brokers[i % 2], { at: minutesAgo(40 - i), ...(i % 9 === 4 && { verdict: "refused", reason: "credentials" }) });
}

/** Each page as a route, what to wait for, and what to do there first. */
const SCENES = [
  ["sessions", "sessions", `${id("row")}[data-key]`, async (page) => page.click(`${id("row")} >> nth=3`)],
  ["agents", "agents", `${id("row")}[data-key]`],
  ["agent", "agents?agent=id-node-02", `${id("history")} canvas`],
  ["agent-history", "agents?agent=id-node-03", `${id("history")} canvas`, (page) => page.locator(`${id("history")} figure`).last().scrollIntoViewIfNeeded()],
  ["cluster", "cluster", id("broker")],
  ["placement", "placement?user=ada", id("explained")],
  [
    "configuration",
    "configuration",
    id("version-1"),
    async (page) => {
      await page.fill(id("editor"), '[limits]\nidle = "8h"\n\n[shadow]\nmode = "aks"\n');
      await page.click(id("review-open"));
      await page.waitForSelector(id("problems"));
    },
  ],
  ["audit", "audit", `${id("row")}[data-key]`, async (page) => page.click(`${id("row")} >> nth=4`)],
];

const KINDS = [
  ["wide, light", "light", { viewport: { width: 1280, height: 800 }, colorScheme: "light" }],
  ["wide, dark", "dark", { viewport: { width: 1280, height: 800 }, colorScheme: "dark" }],
  ["narrow, dark", "narrow-dark", { viewport: { width: 360, height: 740 }, colorScheme: "dark" }],
];

for (const [kind, suffix, context] of KINDS) {
  test(`every page can be used by everybody: ${kind}`, () =>
    withPage(
      browser,
      async ({ page, broker, cluster }) => {
        furnish(cluster);
        await enterConsole(page, broker);
        for (const [name, route, ready, first] of SCENES) {
          await page.goto(`${broker.url}/console#/${route}`);
          await page.waitForSelector(ready);
          await first?.(page);
          await shoot(page, `console-${name}-${suffix}`);
          await fine(page, `${name}, ${kind}`);
          const width = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(width <= context.viewport.width, `${name}: nothing to scroll sideways, but ${width} px`);
        }
      },
      { context, cluster: { admin: true } },
    ));
}

test("the login and the dialogs can be used by everybody", () =>
  withPage(
    browser,
    async ({ page, broker, cluster }) => {
      cluster.addSession({ user: "berta" });
      await page.goto(`${broker.url}/console`);
      await page.waitForSelector(id("username"));
      await fine(page, "login");
      await enterConsole(page, broker);
      await page.click(id("message-all"));
      await page.waitForSelector(id("ask"));
      await fine(page, "message");
      await page.click(id("ask-no"));
      await page.click(`${id("row")} >> nth=0`);
      await page.click(id("end"));
      await page.waitForSelector(id("confirm"));
      await fine(page, "end");
      await page.click(id("confirm-no"));
      await page.goto(`${broker.url}/console#/agents?agent=desk-1`);
      await page.click(id("drain-open"));
      await page.waitForSelector(id("ask"));
      await fine(page, "drain");
    },
    { cluster: { admin: true } },
  ));
