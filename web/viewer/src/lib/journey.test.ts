import { describe, expect, it } from "vitest";
import { type Effect, type Event, Journey, type Phase } from "./journey.ts";

/** Plays `[at, event]` steps, and gives each step's effects. */
function play(steps: [number, Event][]): { journey: Journey; effects: Effect[][] } {
  const journey = new Journey(0, () => 0);
  return { journey, effects: steps.map(([at, event]) => journey.step(at, event)) };
}

const opened: Event = { is: "opened" };
const welcome: Event = { is: "welcome" };
const up: Event = { is: "up" };
const silent: Event = { is: "silent" };
const retry: Event = { is: "retry" };
const down = (code: number): Event => ({ is: "down", code });
const CONNECTED: [number, Event][] = [[0, opened], [10, welcome], [20, up]];

const seeking = (phase: Phase) => {
  if (phase.at !== "seeking") throw new Error(`not seeking but ${phase.at}`);
  return phase;
};

describe("the way in", () => {
  it("asks the agent, then opens the line", () => {
    const { journey, effects } = play(CONNECTED);
    expect(effects).toEqual([[{ do: "ask-agent" }, { do: "reassess", after: 3000 }], [{ do: "open-line" }], []]);
    expect(journey.phase.at).toBe("connected");
  });

  it("ends at a pass that is refused", () => {
    const { journey, effects } = play([[0, opened], [10, { is: "refused" }], [20, retry], [30, { is: "reassess" }]]);
    expect(journey.phase).toEqual({ at: "refused" });
    expect(effects.slice(2)).toEqual([[], []]);
  });
});

describe("a line that drops", () => {
  it("is sought again after 100 ms", () => {
    const { journey, effects } = play([...CONNECTED, [60_000, down(1006)]]);
    expect(effects.at(-1)).toEqual([{ do: "close-line" }, { do: "retry", after: 100 }, { do: "reassess", after: 3000 }]);
    expect(seeking(journey.phase)).toMatchObject({ since: 60_000, seen: true });
  });

  it("is sought for ever: closely at first, then every two seconds at most", () => {
    const { journey } = play([...CONNECTED, [10_000, down(1006)]]);
    let at = 10_000;
    const waits: number[] = [];
    for (let i = 0; i < 500; i++) {
      const [, wait] = journey.step(at, silent);
      if (wait?.do !== "retry") throw new Error("gave up");
      waits.push(wait.after);
      at += wait.after;
      expect(journey.step(at, retry)).toEqual([{ do: "ask-agent" }]);
    }
    expect(waits.slice(0, 4)).toEqual([200, 400, 400, 400]);
    expect(Math.max(...waits)).toBe(2000);
  });

  it("spreads the tries by chance, but never beyond two seconds", () => {
    for (const chance of [0, 0.5, 0.999]) {
      const journey = new Journey(0, () => chance);
      journey.step(0, opened);
      for (let i = 0; i < 30; i++) {
        const [, wait] = journey.step(60_000, silent);
        expect(wait).toMatchObject({ do: "retry" });
        if (wait?.do === "retry") expect(wait.after).toBeLessThanOrEqual(2000);
      }
    }
  });

  it("does not count as back until it has lasted", () => {
    const { journey } = play(CONNECTED);
    let at = 20;
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      at += 50;
      const wait = journey.step(at, down(1011)).find((it) => it.do === "retry");
      waits.push(wait?.do === "retry" ? wait.after : -1);
      journey.step(at, welcome);
      journey.step(at, up);
    }
    expect(waits).toEqual([200, 400, 400, 400]);
  });

  it("asks the brokers after three seconds, and again while it lasts", () => {
    const { journey, effects } = play([...CONNECTED, [10_000, down(1006)], [13_000, { is: "reassess" }]]);
    expect(effects.at(-1)).toEqual([{ do: "ask-brokers" }, { do: "reassess", after: 5000 }]);
    journey.step(13_100, welcome);
    journey.step(13_200, up);
    expect(journey.step(18_000, { is: "reassess" })).toEqual([]);
  });

  it("shows what the brokers say, and forgets it once connected", () => {
    const { journey } = play([...CONNECTED, [10_000, down(1006)]]);
    journey.step(13_000, { is: "advice", advice: { is: "unreachable", since: "2026-01-01T00:00:00Z" } });
    expect(seeking(journey.phase).advice.is).toBe("unreachable");
    journey.step(14_000, welcome);
    journey.step(14_100, up);
    journey.step(20_000, down(1006));
    expect(seeking(journey.phase).advice.is).toBe("none");
  });

  it("names the picture when the agent answers but no line opens", () => {
    const { journey } = play([[0, opened]]);
    for (let i = 0; i < 5; i++) {
      journey.step(i * 100, welcome);
      journey.step(i * 100 + 50, down(1006));
    }
    expect(seeking(journey.phase).advice.is).toBe("no-picture");
  });
});

describe("a takeover", () => {
  it("is left to the person, whatever else happens", () => {
    const { journey, effects } = play([
      ...CONNECTED,
      [5000, down(4001)],
      [5100, retry],
      [8000, { is: "reassess" }],
      [9000, welcome],
      [9100, down(1006)],
    ]);
    expect(journey.phase).toEqual({ at: "taken-over" });
    expect(effects.slice(4)).toEqual([[], [], [], []]);
  });

  it("is undone when the person insists", () => {
    const { journey, effects } = play([...CONNECTED, [5000, down(4001)], [9000, { is: "insist" }]]);
    expect(effects.at(-1)).toEqual([{ do: "ask-agent" }, { do: "reassess", after: 3000 }]);
    expect(seeking(journey.phase).seen).toBe(true);
  });
});

describe("an end", () => {
  it("is asked for its reason when the agent closes with it", () => {
    const { effects } = play([...CONNECTED, [5000, down(4002)]]);
    expect(effects.at(-1)).toContainEqual({ do: "retry", after: 100 });
  });

  it("stops the search, whoever told of it", () => {
    for (const sure of [true, false]) {
      const over: Event = { is: "over", lost: !sure, reason: "because", sure };
      const { journey } = play([...CONNECTED, [5000, down(1006)], [8000, over]]);
      expect(journey.phase).toEqual({ at: "ended", lost: !sure, reason: "because", sure });
      expect(journey.step(9000, retry)).toEqual([]);
    }
  });
});
