// Drives one headless Chromium for one test. Reads a step a line from standard input,
// {"id", "tab", "do", …}, and answers each with one line, {"id", "value"} or {"id", "error"}.
// Ends with its input, and the browser with it.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

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

const { executable, deadline, home } = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: executable,
  args: FLAGS,
  env: { ...process.env, HOME: home },
});
const context = await browser.newContext({ viewport: { width: 1180, height: 760 } });
context.setDefaultTimeout(deadline);

/** What pages said against themselves: breaches of their own policy, exceptions. */
const complaints = [];
context.on("weberror", (error) => complaints.push(String(error.error())));
context.on("console", (message) => {
  if (/Content Security Policy|Trusted/i.test(message.text())) complaints.push(message.text());
});

const tabs = new Map();

const STEPS = {
  open: async (_, { name }) => void tabs.set(name, await context.newPage()),
  close: async (page, { tab }) => {
    tabs.delete(tab);
    await page.close();
  },
  goto: async (page, { url }) => (await page.goto(url))?.status() ?? null,
  reload: async (page) => void (await page.reload()),
  url: (page) => page.url(),
  click: (page, { selector }) => page.click(selector),
  choose: async (page, { selector, value }) => void (await page.selectOption(selector, value)),
  fill: (page, { selector, text }) => page.fill(selector, text),
  wait: async (page, { selector, state }) => void (await page.waitForSelector(selector, { state })),
  text: (page, { selector }) => page.innerText(selector),
  attribute: (page, { selector, name }) => page.getAttribute(selector, name),
  count: (page, { selector }) => page.locator(selector).count(),
  type: (page, { text }) => page.keyboard.type(text),
  press: (page, { key }) => page.keyboard.press(key),
  evaluate: (page, { script }) => page.evaluate(script),
  shoot: async (page, { path }) => void (await page.screenshot({ path })),
  // The canvas's own pixels, not the composed page: no scaling, no cursor, no toolbar.
  pixels: (page, { selector }) =>
    page.$eval(selector, async (canvas) => {
      const { width, height } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
      const url = await new Promise((resolve, reject) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result);
        reader.onerror = () => reject(reader.error);
        reader.readAsDataURL(new Blob([data]));
      });
      return { width, height, rgba: url.slice(url.indexOf(",") + 1) };
    }),
  cookies: () => context.cookies(),
  complaints: () => complaints.splice(0),
};

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
say({ id: 0, value: browser.version() });

for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  try {
    const value = await STEPS[step.do](tabs.get(step.tab), step);
    say({ id: step.id, value: value ?? null });
  } catch (error) {
    say({ id: step.id, error: String(error?.message ?? error) });
  }
}
await browser.close();
