// Carries out what the journey decides, and tells it what happened.

import type RFB from "@novnc/novnc";
import type { ViewerState } from "../../../shared/api.ts";
import { askAgent, askBrokers, livingBroker } from "./ask.ts";
import { Clipboard } from "./clipboard.svelte.ts";
import { type Effect, type Event, Journey, type Phase } from "./journey.ts";
import { type Fit, Line } from "./line.ts";
import type { Place } from "./place.ts";

/** A line this quiet may be dead without anybody having said so; the agent is asked. */
const QUIET = 5000;
const PULSE_EVERY = 2500;
/** The last frame lies under the new picture until that has surely been painted. */
const STILL_STAYS = 1000;

export class Viewer {
  phase: Phase = $state.raw({ at: "seeking", since: 0, failures: 0, seen: false, advice: { is: "none" } });
  /** What the agent said last. */
  state: ViewerState | null = $state.raw(null);
  brokers: string[] = $state.raw([]);
  still: HTMLCanvasElement | null = $state.raw(null);
  fit: Fit = $state("resize");
  readonly clipboard = new Clipboard((text) => this.line?.paste(text));

  private readonly journey = new Journey(performance.now(), Math.random);
  private line: Line | null = null;
  private timers: { retry?: number; reassess?: number } = {};
  private askingAgent = false;
  /** Loaded while the agent is asked, and again if that failed. */
  private rfb: Promise<typeof RFB> | null = null;

  constructor(
    private readonly place: Place,
    private readonly target: HTMLElement,
  ) {
    this.brokers = remembered(place);
  }

  get id(): string {
    return this.place.id;
  }

  open(): void {
    void this.novnc().catch(() => undefined);
    setInterval(() => {
      void this.pulse();
      void this.lookForPortal();
    }, PULSE_EVERY);
    window.addEventListener("online", () => this.happened({ is: "retry" }));
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.happened({ is: "retry" });
      void this.pulse();
    });
    window.addEventListener("focus", () => void this.clipboard.look());
    this.happened({ is: "opened" });
  }

  /** The person wants in, whatever stood against it. */
  insist(): void {
    this.happened({ is: "insist" });
  }

  show(fit: Fit): void {
    this.fit = fit;
    this.line?.show(this.view());
    this.focus();
  }

  focus(): void {
    this.line?.focus();
  }

  ctrlAltDel(): void {
    this.line?.ctrlAltDel();
    this.focus();
  }

  private happened(event: Event): void {
    const effects = this.journey.step(performance.now(), event);
    const before = this.phase.at;
    this.phase = this.journey.phase;
    if (this.phase.at !== before) void this.lookForPortal();
    for (const effect of effects) this.carryOut(effect);
  }

  private carryOut(effect: Effect): void {
    switch (effect.do) {
      case "ask-agent":
        window.clearTimeout(this.timers.retry);
        return void this.askAgent();
      case "open-line":
        return void this.openLine();
      case "close-line": {
        const { line } = this;
        // First forgotten, so that its end is no news.
        this.line = null;
        return line?.close();
      }
      case "retry":
        window.clearTimeout(this.timers.retry);
        this.timers.retry = window.setTimeout(() => this.happened({ is: "retry" }), effect.after);
        return;
      case "ask-brokers":
        return void this.askBrokers();
      case "reassess":
        window.clearTimeout(this.timers.reassess);
        this.timers.reassess = window.setTimeout(() => this.happened({ is: "reassess" }), effect.after);
        return;
    }
  }

  private async askAgent(): Promise<void> {
    if (this.askingAgent || this.line) return;
    this.askingAgent = true;
    const says = await askAgent(this.place.state);
    this.askingAgent = false;
    switch (says.is) {
      case "welcome":
        this.state = says.state;
        this.know(says.state.brokers);
        return this.happened({ is: "welcome" });
      case "refused":
        this.know(says.problem.document.brokers ?? []);
        return this.happened({ is: "refused" });
      case "over":
        this.know(says.problem.document.brokers ?? []);
        return this.happened({ is: "over", lost: false, reason: says.problem.detail, sure: true });
      case "silent":
        return this.happened({ is: "silent" });
    }
  }

  private async askBrokers(): Promise<void> {
    const token = this.state?.status_token;
    if (!token || this.brokers.length === 0) return;
    const says = await askBrokers(this.brokers, this.place.id, token);
    if (this.phase.at !== "seeking") return;
    // The one that answered is the one to send the person to.
    if (says.broker) this.prefer(says.broker);
    if (says.is === "over") return this.happened({ ...says, sure: false });
    // That the WebSocket alone fails is known here, not there.
    const known = this.phase.advice.is === "no-picture" && says.advice.is === "only-here";
    if (!known) this.happened({ is: "advice", advice: says.advice });
  }

  private async openLine(): Promise<void> {
    if (this.line) return;
    let rfb: typeof RFB;
    try {
      rfb = await this.novnc();
    } catch {
      this.rfb = null;
      return this.happened({ is: "silent" });
    }
    const line: Line = new Line(rfb, this.target, this.place.rfb, this.view(), {
      up: () => {
        this.clipboard.reset();
        this.happened({ is: "up" });
        this.focus();
        const { still } = this;
        window.setTimeout(() => this.still === still && (this.still = null), STILL_STAYS);
        void this.clipboard.look();
      },
      down: (code, still) => {
        if (still) this.still = still;
        if (this.line !== line) return;
        this.line = null;
        this.happened({ is: "down", code });
      },
      clipboard: (text) => this.clipboard.fromDesktop(text),
    });
    this.line = line;
  }

  /** Finds out about a line that died in silence, or a session that another page has lost. */
  private async pulse(): Promise<void> {
    const { line } = this;
    if (!line || this.phase.at !== "connected" || performance.now() - line.heard < QUIET) return;
    const says = await askAgent(this.place.state);
    const quiet = performance.now() - line.heard >= QUIET;
    if (says.is === "silent" && quiet && this.line === line) line.close();
  }

  /** While the page shows a link to the portal, it is a broker's that lives. */
  private async lookForPortal(): Promise<void> {
    if (this.phase.at === "connected" || this.brokers.length < 2 || document.hidden) return;
    const living = await livingBroker(this.brokers);
    if (living) this.prefer(living);
  }

  private prefer(broker: string): void {
    if (this.brokers[0] !== broker) this.know([broker, ...this.brokers.filter((it) => it !== broker)]);
  }

  private view() {
    return { viewOnly: this.state?.mode === "view-only", fit: this.fit };
  }

  private novnc(): Promise<typeof RFB> {
    this.rfb ??= import("@novnc/novnc").then((it) => it.default);
    return this.rfb;
  }

  private know(brokers: string[]): void {
    if (brokers.length === 0) return;
    this.brokers = brokers;
    sessionStorage.setItem(keyOf(this.place), JSON.stringify(brokers));
  }
}

/** The brokers' addresses from this tab's last visit, for a page whose pass is refused. */
function remembered(place: Place): string[] {
  try {
    return JSON.parse(sessionStorage.getItem(keyOf(place)) ?? "[]") as string[];
  } catch {
    return [];
  }
}

function keyOf(place: Place): string {
  return `abide.brokers.${place.id}`;
}
