// RFC 9457 problem documents.

import type { Message, Session } from "./api.ts";

/** The members of a problem document that the pages know; all of them may be missing. */
export interface ProblemDocument {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  /** A refused login. */
  messages?: Message[];
  /** `/session-unreachable`: the session that could not be resumed. */
  session?: Session;
  /** From an agent: where to sign in again. */
  brokers?: string[];
}

/** A server understood the request and said no. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly document: ProblemDocument,
  ) {
    super(document.title ?? `The server answered with status ${status}.`);
  }

  get title(): string {
    return this.message;
  }

  get detail(): string | null {
    return this.document.detail ?? null;
  }

  /** Whether the document's type, a URI, ends in `/<name>`. */
  is(name: string): boolean {
    return this.document.type?.endsWith(`/${name}`) ?? false;
  }
}

/** Reads the problem out of a refusal; a proxy's own error page gives one with a status only. */
export async function problemFrom(response: Response): Promise<Problem> {
  const type = response.headers.get("content-type") ?? "";
  if (!/^application\/(problem\+)?json\b/.test(type)) return new Problem(response.status, {});
  const document: unknown = await response.json().catch(() => ({}));
  const known = typeof document === "object" && document !== null ? document : {};
  return new Problem(response.status, known);
}
