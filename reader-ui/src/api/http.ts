import { setServerTime } from '../lib/server-clock.ts';

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

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
type Query = Record<string, string | undefined>;

const timeoutMs = 30_000;
let sessionEnded: () => void = () => undefined;

/** Called once by the page: what to do when the relay says that nobody is logged in any more. */
export function onSessionEnded(handle: () => void): void {
  sessionEnded = handle;
}

export function get<T>(path: string, query: Query = {}): Promise<T> {
  const pairs = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== '');
  const search = new URLSearchParams(pairs).toString();
  return call('GET', search ? `${path}?${search}` : path);
}

/**
 * A write, with the command id made here, at the edge. A repeat after a lost answer must pass the same id:
 * the relay then gives the first result again instead of doing it twice.
 */
export function send<T>(method: Exclude<Method, 'GET'>, path: string, body?: unknown, commandId: string = crypto.randomUUID()): Promise<T> {
  return call(method, path, body, commandId);
}

async function call<T>(method: Method, path: string, body?: unknown, commandId?: string): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json, application/problem+json' };
  if (commandId) headers['idempotency-key'] = commandId;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const response = await fetchOnce(`/api/v1${path}`, {
    method,
    headers,
    credentials: 'same-origin',
    cache: 'no-store',
    signal: AbortSignal.timeout(timeoutMs),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = await readJson(response);
  if (!response.ok) {
    if (response.status === 401 && path !== '/session') sessionEnded();
    throw new Problem(response.status, isRecord(answer) ? answer : {});
  }
  if (isRecord(answer) && typeof answer.server_time_ms === 'number') setServerTime(answer.server_time_ms);
  return answer as T;
}

async function fetchOnce(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch {
    throw new Problem(0, {});
  }
}

async function readJson(response: Response): Promise<unknown> {
  if (response.status === 204) return undefined;
  try {
    return await response.json();
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
