import { webcrypto } from "node:crypto";
import { expect, it } from "vitest";
import { randomKey } from "./key.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const full = webcrypto as Crypto;
/** As a page has it outside a secure context. */
const poor = { getRandomValues: full.getRandomValues.bind(full) } as Crypto;

it.each([full, poor])("makes version 4 UUIDs, each another", (source) => {
  const keys = Array.from({ length: 100 }, () => randomKey(source));
  for (const key of keys) expect(key).toMatch(UUID);
  expect(new Set(keys).size).toBe(100);
});
