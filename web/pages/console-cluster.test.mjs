import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { enterConsole, id, launch, minutesAgo, shoot, until, withPage } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const promise = (name, body, { cluster, ...options } = {}) =>
  test(name, () => withPage(browser, body, { ...options, cluster: { admin: true, ...cluster } }));

promise(
  "the cluster is shown with what may still fail",
  async ({ page, broker, cluster }) => {
    await enterConsole(page, broker, "cluster");
    await page.waitForSelector(id("broker"));
    await shoot(page, "console-cluster");
    assert.match(await page.innerText(id("margin")), /1 more of 3 brokers may fail/);
    assert.equal(await page.getAttribute(id("can-lose"), "data-value"), "1");
    assert.equal(await page.getAttribute(id("term"), "data-value"), "7");
    cluster.office.clockProblem = "its clock is 2 hours behind the others'";
    await cluster.brokers[1].stop();
    await page.waitForSelector(id("silent"));
    await page.waitForSelector(id("clock-problem"));
    await shoot(page, "console-cluster-trouble");
    assert.match(await page.innerText(id("silent")), /127.0.0.12:\d+ does not answer/);
  },
  { cluster: { brokers: 3 } },
);

const TEXT = `# Who is offered which agents.
[[pool]]
name = "engineering"
agents = ["eng-*"]
groups = ["engineers"]
sessions_per_user = 2

[[pool]]
name = "everybody"
agents = ["*"]
default = true

[limits]
idle = "8h"

[shadow]
mode = "ask"
`;

function configured(cluster) {
  const { configs } = cluster.office;
  configs.push({ version: 1, text: TEXT.replace("8h", "4h"), at: minutesAgo(900), by: "berta", note: "First limits" });
  configs.push({ version: 2, text: TEXT, at: minutesAgo(30), by: "anna", note: null });
}

promise("the configuration is edited, with its problems by line, and applied after a look at the changes", async ({ page, broker, cluster }) => {
  configured(cluster);
  await enterConsole(page, broker, "configuration");
  await page.waitForSelector(`${id("version")}[data-value="2"]`);
  await shoot(page, "console-configuration");
  await page.fill(id("editor"), TEXT.replace('"ask"', '"aks"'));
  await page.click(id("review-open"));
  await page.waitForSelector(id("problems"));
  await shoot(page, "console-configuration-problems");
  assert.match(await page.innerText(id("problems")), /Line 17\s+shadow\.mode/);
  await page.click(id("problem-line"));
  assert.equal(await page.evaluate((which) => { const it = document.querySelector(which); return it.value.slice(it.selectionStart, it.selectionEnd); }, id("editor")), 'mode = "aks"');

  await page.fill(id("editor"), TEXT.replace('"8h"', '"6h"'));
  await page.click(id("review-open"));
  await page.waitForSelector(id("diff"));
  assert.match(await page.textContent(id("diff")), /−\s*taken away: idle = "8h"[^]*\+\s*added: idle = "6h"/);
  await page.fill(id("note"), "Shorter");
  await shoot(page, "console-configuration-changes");
  assert.equal(cluster.office.configs.length, 3, "nothing is applied before");
  await page.click(id("apply"));
  await page.waitForSelector(`${id("version")}[data-value="3"]`);
  const { note, text } = cluster.office.configs.at(-1);
  assert.deepEqual([note, text], ["Shorter", TEXT.replace("8h", "6h")]);
});

promise("an older version is looked at and brought back", async ({ page, broker, cluster }) => {
  configured(cluster);
  await enterConsole(page, broker, "configuration");
  await page.click(id("version-1"));
  await page.waitForSelector(id("diff"));
  await shoot(page, "console-configuration-history");
  await page.click(id("restore"));
  await page.click(id("apply"));
  await page.waitForSelector(`${id("version")}[data-value="3"]`);
  const { note, text } = cluster.office.configs.at(-1);
  assert.deepEqual([note, text], ["Back to version 1", TEXT.replace("8h", "4h")]);
});

promise("what somebody else applies meanwhile is neither lost nor overwritten unseen", async ({ page, broker, cluster }) => {
  configured(cluster);
  await enterConsole(page, broker, "configuration");
  await page.waitForSelector(`${id("version")}[data-value="2"]`);
  await until(() => cluster.events.size > 0, "the page follows the events");
  const theirs = (version, hours) => {
    cluster.office.configs.push({ version, text: TEXT.replace("8h", hours), at: minutesAgo(0), by: "berta", note: null });
    cluster.changed("config");
  };
  theirs(3, "5h");
  await page.waitForSelector(`${id("version")}[data-value="3"]`);
  await page.fill(id("editor"), TEXT.replace('"8h"', '"6h"'));
  theirs(4, "7h");
  await page.waitForSelector(id("overtaken"));
  assert.match(await page.inputValue(id("editor")), /"6h"/);
  await page.click(id("rebase"));
  await page.click(id("review-open"));
  await page.waitForSelector(id("diff"));
  assert.match(await page.textContent(id("diff")), /taken away: idle = "7h"/);
  await page.click(id("apply"));
  await page.waitForSelector(`${id("version")}[data-value="5"]`);
});

promise("a broker without a cluster's configuration is put up with", async ({ page, broker, cluster }) => {
  cluster.office.unknown.add("config");
  await enterConsole(page, broker, "configuration");
  await page.waitForSelector(id("missing"));
});

promise("the audit log of all brokers is one, newest first, and live", async ({ page, broker, cluster }) => {
  const [a, b] = cluster.brokers;
  for (let i = 0; i < 250; i++) {
    const fields = { at: minutesAgo(500 - i), user: i % 3 ? "anna" : "berta", ...(i % 7 === 0 && { decision: "end", session: "0197-x" }) };
    cluster.office.log(i % 2 ? a : b, fields);
  }
  cluster.office.log(a, { verdict: "refused", reason: "credentials", user: "mallory" });
  await enterConsole(page, broker, "audit");
  await page.waitForSelector(id("row"));
  await shoot(page, "console-audit");
  assert.match(await page.innerText(`${id("row")} >> nth=0`), /mallory\s+Log in\s+refused/);
  assert.equal(await page.getAttribute(id("grid"), "data-total"), "198", "as far back as both logs are known");
  await page.click(id("older"));
  await page.waitForSelector(`${id("grid")}[data-total="251"]`);
  cluster.office.log(b, { user: "newcomer" });
  await page.waitForFunction((which) => document.querySelector(which).innerText.includes("newcomer"), id("row"));
  await page.selectOption(id("by-verdict"), "refused");
  await page.waitForSelector(`${id("grid")}[data-total="1"]`);
  await page.click(id("row"));
  assert.match(await page.innerText(id("drawer")), /credentials[^]*127.0.0.11/);
  await b.stop();
  await page.waitForSelector(id("silent"));
  assert.match(await page.innerText(id("silent")), /What 127.0.0.12:\d+ has written down is missing here: it does not answer/);
});

promise("an older broker's audit log is missed, and the others' are shown", async ({ page, broker, cluster }) => {
  cluster.office.log(broker, { user: "berta" });
  cluster.brokers[1].unknown.add("audit");
  await enterConsole(page, broker, "audit");
  await page.waitForSelector(id("row"));
  assert.match(await page.innerText(id("silent")), /127.0.0.12:\d+ .* older version/);
});
