import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { USER } from "../mock/cluster.mjs";
import { id, launch, openDesktop, reached, shoot, until, withPage } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const promise = (name, body, options) => test(name, () => withPage(browser, body, options));
const desktopOf = (cluster) => [...cluster.sessions.values()][0].desktop;
const sessionOf = (cluster) => [...cluster.sessions.values()][0].session;
const head = (page) => page.innerText(id("head"));
const body = (page) => page.innerText(id("body"));

/** The colour of the live picture at its own (x, y), as [r, g, b]. */
function pixel(page, x, y) {
  return page.evaluate(
    ([x, y]) => {
      const canvas = document.querySelector('[data-testid="screen"] canvas');
      const data = canvas?.getContext("2d").getImageData(x, y, 1, 1).data;
      return data ? [...data.slice(0, 3)] : null;
    },
    [x, y],
  );
}

promise("the desktop takes the window's size, and keys reach it", async ({ page, broker, cluster }) => {
  await openDesktop(page, broker);
  const desktop = desktopOf(cluster);
  await until(() => desktop.width === 1180 && desktop.height === 760, "the size of the window");
  await page.keyboard.type("hello");
  await until(() => desktop.keys.length === 5, "five keys");
  assert.deepEqual(String.fromCodePoint(...desktop.keys), "hello");
  await until(async () => (await pixel(page, 2, 730))?.[0] === 250, "the keys show");
  await page.setViewportSize({ width: 900, height: 620 });
  await until(() => desktop.width === 900 && desktop.height === 620, "the new size");
  await shoot(page, "viewer-toolbar");
  await page.waitForSelector(`${id("toolbar")}[data-open="false"]`);
  await shoot(page, "viewer");
});

promise("the toolbar scales, sends Ctrl+Alt+Del, and goes away", async ({ page, broker, cluster }) => {
  await openDesktop(page, broker);
  const desktop = desktopOf(cluster);
  await until(() => desktop.width === 1180, "the size of the window");
  await page.click(id("fit-scale"));
  await page.setViewportSize({ width: 590, height: 700 });
  await until(() => page.evaluate(() => document.querySelector('[data-testid="screen"] canvas').clientWidth === 590), "scaled");
  assert.equal(desktop.width, 1180, "the desktop keeps its size");
  await page.hover(id("handle"));
  await page.click(id("ctrl-alt-del"));
  await until(() => desktop.keys.length === 3, "three keys");
  assert.deepEqual(desktop.keys, [0xffe3, 0xffe9, 0xffff]);
  await page.mouse.move(300, 500);
  await page.waitForSelector(`${id("toolbar")}[data-open="false"]`);
});

promise("Ctrl+Alt+Shift gives the keyboard to the toolbar, Escape gives it back", async ({ page, broker, cluster }) => {
  await openDesktop(page, broker);
  await page.mouse.move(300, 500);
  await page.waitForSelector(`${id("toolbar")}[data-open="false"]`);
  for (const key of ["Control", "Alt", "Shift"]) await page.keyboard.down(key);
  for (const key of ["Shift", "Alt", "Control"]) await page.keyboard.up(key);
  await page.waitForSelector(`${id("toolbar")}[data-open="true"] button:focus`);
  await page.keyboard.press("Escape");
  const desktop = desktopOf(cluster);
  desktop.keys = [];
  await page.keyboard.type("x");
  await until(() => desktop.keys.length === 1, "the desktop has the keyboard");
});

promise(
  "the clipboard goes both ways",
  async ({ page, broker, cluster, agent, context }) => {
    await openDesktop(page, broker);
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: agent.url });
    const [peer] = agent.peers;
    peer.rfb.cutText("from the desktop");
    await page.hover(id("handle"));
    await page.click(id("clipboard"));
    await until(async () => (await page.inputValue(id("clipboard-text"))) === "from the desktop", "the panel shows it");
    await until(async () => (await page.evaluate(() => navigator.clipboard.readText())) === "from the desktop", "this computer has it");
    await shoot(page, "viewer-clipboard");
    await page.fill(id("clipboard-text"), "to the desktop");
    await until(() => desktopOf(cluster).clipboard === "to the desktop", "the desktop has it");
  },
);

promise("a cut line is back by itself, and the last frame stays meanwhile", async ({ page, broker, agent, cluster }) => {
  await openDesktop(page, broker);
  await until(async () => (await pixel(page, 10, 10))?.[0] === 36, "the picture");
  await agent.stop();
  await reached(page, "reconnecting");
  await page.waitForSelector(`${id("still")} canvas`);
  await page.waitForSelector(id("head"));
  assert.equal(await head(page), "The connection was lost. Reconnecting…");
  assert.equal(await page.title(), `${USER} · reconnecting… · Abide`);
  await shoot(page, "viewer-reconnecting");
  await agent.listen();
  const back = Date.now();
  await reached(page, "connected");
  assert.ok(Date.now() - back < 2000, "within two seconds of the agent's return");
  await until(async () => (await pixel(page, 10, 10))?.[0] === 36, "the picture again");
  assert.equal(cluster.sessions.size, 1);
});

promise("with every broker down a second tab gets in with its pass", async ({ page, broker, cluster, context }) => {
  await openDesktop(page, broker);
  for (const it of cluster.brokers) await it.stop();
  const second = await context.newPage();
  await second.goto(page.url());
  await reached(second, "connected");
  // Same pass, another window: the first is told, and does not fight back.
  await reached(page, "taken-over");
});

promise("one who is taken over from is told, and waits", async ({ page, broker, agent }) => {
  await openDesktop(page, broker);
  await until(async () => (await pixel(page, 10, 10))?.[0] === 36, "the picture");
  agent.closeAll(4001);
  await reached(page, "taken-over");
  await shoot(page, "viewer-taken-over");
  assert.equal(await page.title(), `${USER} · open elsewhere · Abide`);
  const before = agent.requests.length;
  // What makes a page that seeks its agent try at once; then a request to show that time has passed.
  await page.evaluate(() => {
    window.dispatchEvent(new Event("online"));
    document.dispatchEvent(new Event("visibilitychange"));
    return fetch("/viewer/");
  });
  assert.deepEqual(agent.requests.slice(before), ["GET /viewer/"], "it did not come back by itself");
  await page.click(id("take-back"));
  await reached(page, "connected");
});

promise("a session that ends says why", async ({ page, broker, agent, cluster }) => {
  await openDesktop(page, broker);
  const session = sessionOf(cluster);
  cluster.change(session.id, { state: "ended", reason: "logged out of the desktop" });
  agent.closeAll(4002);
  await reached(page, "ended");
  await shoot(page, "viewer-ended");
  assert.equal(await body(page), "Logged out of the desktop.");
  assert.equal(await page.getAttribute(id("portal"), "href"), `${broker.url}/`);
});

promise("a pass that is refused leads back to the login", async ({ page, broker, agent, cluster }) => {
  await openDesktop(page, broker);
  agent.revokePasses();
  agent.closeAll(4003);
  await reached(page, "refused");
  await shoot(page, "viewer-refused");
  assert.equal(await page.getAttribute(id("portal"), "href"), `${broker.url}/#session=${sessionOf(cluster).id}`);
  await page.click(id("portal"));
  await page.click(`${id("session-row")}.wanted ${id("resume")}`);
  await reached(page, "connected");
});

promise("the link to the portal is a living broker's", async ({ page, broker, agent, cluster }) => {
  await openDesktop(page, broker);
  await broker.stop();
  agent.revokePasses();
  agent.closeAll(4003);
  await reached(page, "refused");
  await page.waitForSelector(`${id("portal")}[href^="${cluster.brokers[1].url}"]`);
});

promise("a visitor without a pass is told to log in", async ({ page, cluster, broker }) => {
  const session = cluster.addSession();
  await page.goto(cluster.connect(session.id).connect.viewer_url);
  await reached(page, "refused");
  assert.equal(await page.getAttribute(id("portal"), "href"), `${broker.url}/#session=${session.id}`);
});

promise("when the host is gone the brokers say since when, and it comes back", async ({ page, broker, agent, cluster }) => {
  await openDesktop(page, broker);
  const session = sessionOf(cluster);
  await agent.stop();
  cluster.change(session.id, { reachable: false, unreachable_since: new Date().toISOString() });
  await reached(page, "unreachable");
  await shoot(page, "viewer-unreachable");
  assert.match(await body(page), /No broker has heard from it since .*this page connects by itself/);
  await agent.listen();
  await reached(page, "connected");
});

promise("when a broker knows the desktop for lost, it says by what evidence", async ({ page, broker, agent, cluster }) => {
  await openDesktop(page, broker);
  await agent.stop();
  cluster.change(sessionOf(cluster).id, { state: "lost", reason: "its host runs under another boot id" });
  await reached(page, "ended");
  await shoot(page, "viewer-lost");
  assert.equal(await head(page), "This desktop is lost.");
  assert.match(await body(page), /its host runs under another boot id\./);
  await page.click(id("portal"));
  await page.waitForSelector(id("open-desktop"));
});

promise("when only this computer cannot reach the host, it says so", async ({ page, broker, agent }) => {
  await openDesktop(page, broker);
  await agent.stop();
  await until(async () => /^The brokers reach/.test((await page.locator(id("body")).allInnerTexts())[0] ?? ""), "the brokers are asked");
  await shoot(page, "viewer-only-here");
});

promise("when nobody answers, it says so", async ({ page, broker, agent, cluster }) => {
  await openDesktop(page, broker);
  for (const it of cluster.brokers) await it.stop();
  await agent.stop();
  await until(async () => /^Neither/.test((await page.locator(id("body")).allInnerTexts())[0] ?? ""), "everybody is asked");
});

promise("one who may only look cannot type, resize or paste", async ({ page, broker, agent, cluster }) => {
  agent.mode = "view-only";
  await openDesktop(page, broker);
  await page.waitForSelector(id("view-only"));
  await page.keyboard.type("x");
  const desktop = desktopOf(cluster);
  await until(async () => (await pixel(page, 10, 10))?.[0] === 36, "the picture");
  assert.equal(await page.locator(id("clipboard")).count(), 0);
  assert.deepEqual([desktop.width, desktop.height, desktop.keys.length], [1024, 640, 0]);
  await shoot(page, "viewer-view-only");
});

promise(
  "it fits a narrow dark screen",
  async ({ page, broker }) => {
    await openDesktop(page, broker);
    await page.hover(id("handle"));
    await shoot(page, "viewer-narrow-dark");
    const bar = await page.locator(`${id("toolbar")} [role="toolbar"]`).boundingBox();
    assert.ok(bar.x >= 0 && bar.x + bar.width <= 360, "the toolbar is all there");
  },
  { context: { viewport: { width: 360, height: 740 }, colorScheme: "dark" } },
);

promise("one whose desktop reaches a limit reads when and why, until it does not any more", async ({ page, broker, agent }) => {
  await openDesktop(page, broker);
  await until(() => agent.noting.size === 1, "the page listens");
  agent.say({ text: "Nobody has done anything here, so it will be ended.", ends_in_s: 150 });
  await page.waitForSelector(id("note"));
  assert.match(await page.innerText(id("note")), /so it will be ended\.\s+2 min 30 s left/);
  await shoot(page, "viewer-limit");
  agent.say({ text: null, ends_in_s: null });
  await page.waitForSelector(id("note"), { state: "detached" });
});
