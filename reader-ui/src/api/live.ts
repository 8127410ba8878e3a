import { noteSignOfLife, silentForMs } from './sign-of-life.ts';
import type { Progress } from './types.ts';

/** How far a study is; without patient data, so that it can be told to everyone who may see the study. */
export interface StudyProgress extends Progress {
  study_id: string;
}

/**
 * Server-sent events of the relay: each says what changed, by id; of the data itself only counts and rates.
 * `EventSource` reconnects and resumes with Last-Event-ID by itself, except after an HTTP error, which is retried here;
 * and it never notices that a relay has gone without a word, which is asked after here.
 */
export type LiveEvent =
  | { name: 'worklist'; reading_request_id: string }
  /** Instances are listed, can be looked at, or are verified. */
  | ({ name: 'study' } & StudyProgress)
  /** Only bytes have come: nothing is to be asked for again. */
  | ({ name: 'study_bytes' } & StudyProgress)
  | { name: 'notification'; id: string }
  | { name: 'reading_request'; id: string }
  /** Too much was missed: everything is to be asked for again. */
  | { name: 'reset' };

const names = ['hello', 'worklist', 'study', 'study_bytes', 'notification', 'reading_request', 'reset'] as const;
const retryMs = 3_000;
/** Silence after which the relay is asked for a sign of life, and how long that may take. */
const silentMs = 4_000;
const answerMs = 3_000;
/** So many unanswered in a row, and the line counts as lost: one alone may wait behind images on a slow line. */
const unansweredMax = 2;
const lookEveryMs = 1_000;
/** How long a stream that is being opened is left alone. */
const openingMs = 10_000;
/** Small, of no session, and kept by the relay in memory. */
const smallest = '/icon.svg';

/**
 * Opens the stream; `connected` is told every change of the line, and for how long nothing has been heard. A relay that
 * goes without a word is missed within eleven seconds (`silentMs`, then two answers that do not come). Returns the way to
 * close it.
 */
export function openLive(received: (event: LiveEvent) => void, connected: (up: boolean, silentForMs: number) => void): () => void {
  let source: EventSource | null = null;
  let up: boolean | null = null;
  let unanswered = 0;
  let asking = false;
  let askedAtMs = 0;
  let openedAtMs = 0;
  let closed = false;

  const tell = (now: boolean) => {
    if (now) {
      noteSignOfLife();
      unanswered = 0;
    }
    if (up === now || closed) return;
    up = now;
    connected(now, silentForMs());
  };
  const open = () => {
    source?.close();
    const opened = new EventSource('/api/v1/events');
    source = opened;
    openedAtMs = Date.now();
    opened.addEventListener('open', () => tell(true));
    opened.addEventListener('error', () => source === opened && tell(false));
    for (const name of names) {
      opened.addEventListener(name, (event: MessageEvent<string>) => {
        noteSignOfLife();
        const data = parse(event.data);
        if (data && name !== 'hello') received({ name, ...data } as LiveEvent);
      });
    }
  };
  const look = async () => {
    const due = up === false ? Date.now() - askedAtMs >= retryMs : up === true && (unanswered > 0 || silentForMs() >= silentMs);
    if (asking || !due) return;
    asking = true;
    askedAtMs = Date.now();
    const answer = await askForLife();
    asking = false;
    if (closed) return;
    if (answer === 'late') unanswered += 1;
    if (answer === 'here') {
      noteSignOfLife();
      unanswered = 0;
      const stuck = source?.readyState === EventSource.CLOSED || Date.now() - openedAtMs >= openingMs;
      if (!up && stuck) open();
    } else if (up && (answer === 'gone' || unanswered >= unansweredMax)) {
      source?.close();
      tell(false);
    }
  };
  open();
  const timer = setInterval(() => void look(), lookEveryMs);
  return () => {
    closed = true;
    clearInterval(timer);
    source?.close();
  };
}

/** Whether the relay answers at all; what it answers does not matter, unless a proxy answers for it. */
async function askForLife(): Promise<'here' | 'late' | 'gone'> {
  const signal = AbortSignal.timeout(answerMs);
  try {
    const { status } = await fetch(smallest, { cache: 'no-store', signal });
    return status >= 502 && status <= 504 ? 'gone' : 'here';
  } catch {
    return signal.aborted ? 'late' : 'gone';
  }
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
