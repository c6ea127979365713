import { expect, it } from "vitest";
import { placeOf } from "./place.ts";

it("finds the session's addresses beside the page's own", () => {
  expect(placeOf("https://desk7.example:8443/s/0192/abcdef?x=1#y")).toEqual({
    id: "0192",
    rfb: "wss://desk7.example:8443/s/0192/abcdef/rfb",
    state: "https://desk7.example:8443/s/0192/abcdef/rfb/state",
    notes: "https://desk7.example:8443/s/0192/abcdef/rfb/notes",
  });
});

it("keeps the prefix of a proxy", () => {
  expect(placeOf("http://127.0.0.2:7000/desks/s/1/2/")?.rfb).toBe("ws://127.0.0.2:7000/desks/s/1/2/rfb");
});

it("knows an address without a session", () => {
  expect(placeOf("https://desk7.example/")).toBeNull();
  expect(placeOf("https://desk7.example/s/1")).toBeNull();
});
