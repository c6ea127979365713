import { expect, it } from "vitest";
import { Problem } from "./problem.ts";
import { Brokers } from "./brokers.ts";
import { Login } from "./login.ts";
import { type Answer, type Asked, FakeWorld } from "./world.test-help.ts";

const A = "https://a.example";
const B = "https://b.example";
const PASSWORD: Answer = [200, { conversation: "c/1", messages: [], prompts: [{ style: "echo-off", text: "Password: " }] }];
const CODE: Answer = [200, { conversation: "c/2", messages: [], prompts: [{ style: "echo-on", text: "Code: " }] }];
const TOKEN: Answer = [200, { token: "t", user: "anna", messages: [], expires_at: "" }];

function setUp(answer: (asked: Asked, n: number) => Answer) {
  const world = new FakeWorld(answer);
  const login = new Login(new Brokers(A, [B], world), "Anna", new AbortController().signal);
  return { world, login };
}

const said = (world: FakeWorld) => world.asked.map((it) => [it.url, it.body]);

it("is a conversation that ends in a token", async () => {
  const { world, login } = setUp((_, n) => [PASSWORD, CODE, TOKEN][n - 1]!);
  expect(await login.begin()).toMatchObject({ at: "asks", prompts: [{ style: "echo-off" }] });
  expect(await login.answer(["secret"])).toMatchObject({ at: "asks", prompts: [{ style: "echo-on" }] });
  expect(await login.answer(["123"])).toMatchObject({ at: "done", reply: { token: "t", user: "anna" } });
  expect(said(world)).toEqual([
    [`${A}/api/v1/login`, { username: "Anna" }],
    [`${A}/api/v1/login/c%2F1`, { answers: ["secret"] }],
    [`${A}/api/v1/login/c%2F2`, { answers: ["123"] }],
  ]);
});

it("says all its answers again elsewhere when the broker dies", async () => {
  const { world, login } = setUp((it, n) => (n === 1 ? PASSWORD : n === 2 ? CODE : it.url.startsWith(A) ? "dead" : TOKEN));
  await login.begin();
  await login.answer(["secret"]);
  expect(await login.answer(["123"])).toMatchObject({ at: "done" });
  expect(said(world).at(-1)).toEqual([`${B}/api/v1/login`, { username: "Anna", answers: ["secret", "123"] }]);
});

it("says them again where the conversation was forgotten by a restart", async () => {
  const { world, login } = setUp((it, n) => (n === 1 ? PASSWORD : it.url.endsWith("/login") ? TOKEN : [404, {}]));
  await login.begin();
  expect(await login.answer(["secret"])).toMatchObject({ at: "done" });
  expect(said(world).at(-1)).toEqual([`${A}/api/v1/login`, { username: "Anna", answers: ["secret"] }]);
});

it("goes on where the other broker asks for a code anew", async () => {
  const { world, login } = setUp((it, n) => (n === 1 ? PASSWORD : it.url.startsWith(A) ? "dead" : n < 4 ? CODE : TOKEN));
  await login.begin();
  expect(await login.answer(["secret"])).toMatchObject({ at: "asks" });
  expect(await login.answer(["456"])).toMatchObject({ at: "done" });
  expect(said(world).at(-1)).toEqual([`${B}/api/v1/login/c%2F2`, { answers: ["456"] }]);
});

it("takes a refusal for an answer", async () => {
  const { world, login } = setUp((_, n) => (n === 1 ? PASSWORD : [401, { type: "urn:abide:problem/login-refused" }]));
  await login.begin();
  await expect(login.answer(["wrong"])).rejects.toBeInstanceOf(Problem);
  expect(world.asked.length).toBe(2);
});
