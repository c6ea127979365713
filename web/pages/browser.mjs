// One headless Chromium for a test file, a fresh profile for each test, and a mock cluster.

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { Cluster, PASSWORD, USER } from "../mock/cluster.mjs";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const SHOTS = fileURLToPath(new URL("../shots/", import.meta.url));
/** ms; generous, since what is waited for comes as an event. */
export const DEADLINE = 15_000;

export function launch() {
  return chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
}

/**
 * Gives `test` a cluster and a page, and takes both down after it, also when it fails. A page that
 * breaks its own policy, or throws, fails the test; `expected` is what it may say all the same.
 */
export async function withPage(browser, test, { expected = [], cluster: options, context: settings } = {}) {
  const cluster = await Cluster.start(options);
  const context = await browser.newContext({ viewport: { width: 1180, height: 760 }, ...settings });
  context.setDefaultTimeout(DEADLINE);
  const complaints = [];
  context.on("weberror", (error) => complaints.push(String(error.error())));
  context.on("console", (message) => {
    if (/Content Security Policy|Trusted/i.test(message.text())) complaints.push(message.text());
  });
  try {
    const page = await context.newPage();
    await test({ cluster, page, context, broker: cluster.brokers[0], agent: cluster.agents[0] });
    const unexpected = complaints.filter((it) => !expected.some((pattern) => pattern.test(it)));
    if (unexpected.length > 0) throw new Error(`The page complained:\n${unexpected.join("\n")}`);
  } finally {
    await context.close();
    await cluster.stop();
  }
}

export const id = (name) => `[data-testid="${name}"]`;

/** A picture for a person to look at. */
export async function shoot(page, name) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}${name}.png`, animations: "disabled" });
}

export async function logIn(page, broker, hash = "") {
  await page.goto(`${broker.url}/${hash}`);
  await page.fill(id("username"), USER);
  await page.click(id("submit"));
  await page.fill(id("answer-0"), PASSWORD);
  await page.click(id("submit"));
  await page.waitForSelector(id("open-desktop"));
}

/** Logs in at the console, at one of its pages: "sessions", "agents?search=x". */
export async function enterConsole(page, broker, route = "sessions") {
  await page.goto(`${broker.url}/console#/${route}`);
  await page.fill(id("username"), USER);
  await page.click(id("submit"));
  await page.fill(id("answer-0"), PASSWORD);
  await page.click(id("submit"));
  await page.waitForSelector(`${id("page")}[data-page="${route.split("?")[0]}"]`);
}

export const minutesAgo = (n) => new Date(Date.now() - n * 60_000).toISOString();

/** Waits for the viewer's `data-state`. */
export function reached(page, state) {
  return page.waitForSelector(`html[data-state="${state}"]`, { state: "attached" });
}

export async function openDesktop(page, broker) {
  await logIn(page, broker);
  await page.click(id("open-desktop"));
  await reached(page, "connected");
}

/** Waits until `check` gives something true; asks again after every `ms`. */
export async function until(check, what, ms = 20) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > end) throw new Error(`Not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
}
