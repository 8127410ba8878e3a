import createClient from 'openapi-fetch';
import { setServerTime } from '../lib/server-clock.ts';
import { presenceHeaders } from './presence.ts';
import { noteSignOfLife } from './sign-of-life.ts';
import type { paths } from './schema.d.ts';

/** A refusal of the relay (RFC 9457). `code` selects a text in `strings/`; the rest is for the text's detail. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly requestId: string;
  readonly body: Readonly<Record<string, unknown>>;

  constructor(status: number, body: Readonly<Record<string, unknown>>) {
    const code = typeof body.code === 'string' ? body.code : status === 0 ? 'offline' : `http_${status}`;
    super(code);
    this.status = status;
    this.code = code;
    this.detail = typeof body.detail === 'string' ? body.detail : '';
    this.requestId = typeof body.request_id === 'string' ? body.request_id : '';
    this.body = body;
  }
}

const timeoutMs = 30_000;
let sessionEnded: () => void = () => undefined;

/** Called once by the page: what to do when the relay says that nobody is logged in any more. */
export function onSessionEnded(handle: () => void): void {
  sessionEnded = handle;
}

/** Every route with its parameters and bodies, checked against the relay's own document. */
export const relay = createClient<paths>({
  credentials: 'same-origin',
  cache: 'no-store',
  fetch: async (request) => {
    for (const [name, value] of Object.entries(presenceHeaders())) request.headers.set(name, value);
    try {
      const answer = await fetch(request, { signal: AbortSignal.timeout(timeoutMs) });
      noteSignOfLife();
      return answer;
    } catch {
      throw new Problem(0, {});
    }
  },
});

/**
 * The header of a write: the command id, made at the edge. A repeat after a lost answer must pass the same id;
 * the relay then gives the first result again instead of doing it twice.
 */
export function command(id: string = crypto.randomUUID()): { 'Idempotency-Key': string } {
  return { 'Idempotency-Key': id };
}

interface Answer {
  data?: unknown;
  error?: unknown;
  response: Response;
}

/** The body of an answer, narrowed to the page's own type; a refusal is thrown as a `Problem`. */
export async function bodyOf<Body>(asked: Promise<Answer>): Promise<Body> {
  const { data, error, response } = await asked;
  if (!response.ok) {
    if (response.status === 401 && !response.url.endsWith('/session')) sessionEnded();
    throw new Problem(response.status, isRecord(error) ? error : {});
  }
  if (isRecord(data) && typeof data.server_time_ms === 'number') setServerTime(data.server_time_ms);
  return data as Body;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
