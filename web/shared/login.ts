// Logging in: a conversation of prompts at one broker, which another can take over.
//
//   begin ──► prompts ──► answer ──► prompts … ──► token
//                └── the broker died: all answers so far, to another broker ──┘

import type { LoginDone, LoginReply, Message, Prompt } from "./api.ts";
import { Problem } from "./problem.ts";
import { type Brokers, Silent } from "./brokers.ts";

export type Step =
  | { at: "asks"; messages: Message[]; prompts: Prompt[] }
  | { at: "done"; reply: LoginDone };

/** A person may have to fetch a second factor or confirm on a phone while the broker waits. */
const ANSWER_MAY_TAKE = 120_000;

/** Statuses of a broker that does not know the conversation, since it ended with its broker. */
const FORGOTTEN = [404, 410];

export class Login {
  private conversation: string | null = null;
  /** Everything said so far, in order. Held in memory only, and only while the login lasts. */
  private answers: string[] = [];

  constructor(
    private readonly brokers: Brokers,
    readonly username: string,
    private readonly signal: AbortSignal,
  ) {}

  /** Throws `Problem` when refused. */
  async begin(): Promise<Step> {
    return this.take(await this.say("/api/v1/login", { username: this.username }));
  }

  /** One answer for each prompt of the last step. Throws `Problem` when refused. */
  async answer(answers: string[]): Promise<Step> {
    const conversation = this.conversation;
    this.answers.push(...answers);
    if (conversation === null) return this.replay();
    const path = `/api/v1/login/${encodeURIComponent(conversation)}`;
    const at = this.brokers.known()[0]!;
    try {
      return this.take(await this.brokers.once(at, this.post(path, { answers })));
    } catch (error) {
      const died = error instanceof Silent || (error instanceof Problem && FORGOTTEN.includes(error.status));
      if (!died || this.signal.aborted) throw error;
      if (error instanceof Silent) this.brokers.passOver(at);
      return this.replay();
    }
  }

  /** Says everything again, to whichever broker answers. */
  private async replay(): Promise<Step> {
    this.conversation = null;
    const { username, answers } = this;
    return this.take(await this.say("/api/v1/login", { username, answers }));
  }

  private say(path: string, body: unknown): Promise<LoginReply> {
    return this.brokers.call(this.post(path, body));
  }

  private post(path: string, body: unknown) {
    return { method: "POST", path, body, tryFor: ANSWER_MAY_TAKE, signal: this.signal } as const;
  }

  private take(reply: LoginReply): Step {
    if ("token" in reply) {
      this.answers = [];
      return { at: "done", reply };
    }
    this.conversation = reply.conversation;
    return { at: "asks", messages: reply.messages, prompts: reply.prompts };
  }
}
