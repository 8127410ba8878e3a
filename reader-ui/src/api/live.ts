import type { Progress } from './types.ts';

/** How far a study is; without patient data, so that it can be told to everyone who may see the study. */
export interface StudyProgress extends Progress {
  study_id: string;
}

/**
 * Server-sent events of the relay: each says what changed, by id; of the data itself only counts and rates.
 * `EventSource` reconnects and resumes with Last-Event-ID by itself, except after an HTTP error, which is retried here.
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

const names = ['worklist', 'study', 'study_bytes', 'notification', 'reading_request', 'reset'] as const;
const retryMs = 3_000;

/** Opens the stream; `connected` is told every change of the line. Returns the way to close it. */
export function openLive(received: (event: LiveEvent) => void, connected: (up: boolean) => void): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  const open = () => {
    source = new EventSource('/api/v1/events');
    source.addEventListener('open', () => connected(true));
    source.addEventListener('error', () => {
      connected(false);
      if (closed || source?.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(open, retryMs);
    });
    for (const name of names) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        const data = parse(event.data);
        if (data) received({ name, ...data } as LiveEvent);
      });
    }
  };
  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    source?.close();
  };
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
