import { getReadingRequest, saveDraft } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import type { Draft, Evaluation, ReportBody } from '../../api/types.ts';

export type DraftStatus = 'saved' | 'unsaved' | 'saving' | 'failed' | 'conflict';

export interface DraftState {
  body: ReportBody;
  /** 0 while the relay has no draft. */
  version: number;
  savedAtMs: number | null;
  evaluation: Evaluation | null;
  status: DraftStatus;
  /** The text of the other screen, kept beside ours until the reader has chosen. */
  theirs: Draft | null;
  problem: unknown;
}

export interface DraftTransport {
  save: typeof saveDraft;
  load: (id: string) => Promise<{ draft: Draft | null }>;
}

const pauseMs = 1_000;
/** A draft is never longer unsaved than this while someone types on. */
const unsavedMsMax = 2_500;
const retryMs = 5_000;

/**
 * Keeps one draft on the relay: saves at every pause, one save at a time, on top of the version it knows.
 * A save on top of a newer version is refused by the relay; then nothing is overwritten and both texts are kept.
 */
export class DraftSaver {
  readonly #requestId: string;
  readonly #changed: () => void;
  readonly #transport: DraftTransport;
  #state: DraftState;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dirtySinceMs: number | null = null;
  #running: Promise<void> | null = null;

  constructor(requestId: string, draft: Draft | null, empty: ReportBody, changed: () => void, transport: DraftTransport = { save: saveDraft, load: getReadingRequest }) {
    this.#requestId = requestId;
    this.#changed = changed;
    this.#transport = transport;
    this.#state = {
      body: draft?.body ?? empty,
      version: draft?.version ?? 0,
      savedAtMs: draft?.saved_at_ms ?? null,
      evaluation: draft?.evaluation ?? null,
      status: 'saved',
      theirs: null,
      problem: null,
    };
  }

  readonly getState = (): DraftState => this.#state;

  update(change: (body: ReportBody) => ReportBody): void {
    this.#publish({ body: change(this.#state.body) });
    this.#touch();
  }

  /**
   * Takes what the relay says of the draft now: of the same text, what blocks signing, which calls and images change too;
   * of a newer one the text as well, while nothing is written here that it could overwrite.
   */
  adopt(draft: Draft): void {
    const { version, status } = this.#state;
    if (draft.version === version && draft.evaluation !== this.#state.evaluation) this.#publish({ evaluation: draft.evaluation });
    if (draft.version <= version || status !== 'saved' || this.#running) return;
    this.#publish({ body: draft.body, version: draft.version, savedAtMs: draft.saved_at_ms, evaluation: draft.evaluation });
  }

  /** Resolves when everything typed is on the relay, or with false when that is not possible now. */
  async flush(): Promise<boolean> {
    clearTimeout(this.#timer);
    await this.#running;
    if (this.#dirtySinceMs !== null && !this.#state.theirs) await this.#save();
    return this.#state.status === 'saved';
  }

  useMine(): void {
    const { theirs } = this.#state;
    if (!theirs) return;
    this.#publish({ version: theirs.version, theirs: null });
    this.#touch();
  }

  useTheirs(): void {
    const { theirs } = this.#state;
    if (!theirs) return;
    this.#dirtySinceMs = null;
    const { body, version, saved_at_ms: savedAtMs, evaluation } = theirs;
    this.#publish({ body, version, savedAtMs, evaluation, theirs: null, status: 'saved', problem: null });
  }

  #touch(): void {
    const now = Date.now();
    this.#dirtySinceMs ??= now;
    if (this.#state.status === 'conflict' && this.#state.theirs) return;
    if (this.#state.status !== 'saving') this.#publish({ status: 'unsaved' });
    const left = Math.max(0, this.#dirtySinceMs + unsavedMsMax - now);
    this.#schedule(Math.min(pauseMs, left));
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#save(), afterMs);
  }

  async #save(): Promise<void> {
    if (this.#running) {
      await this.#running;
      if (this.#dirtySinceMs === null) return;
    }
    this.#running = this.#saveOnce().finally(() => {
      this.#running = null;
    });
    await this.#running;
  }

  async #saveOnce(): Promise<void> {
    const { body, version } = this.#state;
    this.#dirtySinceMs = null;
    this.#publish({ status: 'saving' });
    try {
      const saved = await this.#transport.save(this.#requestId, version, body);
      const changedMeanwhile = this.#dirtySinceMs !== null;
      this.#publish({
        version: saved.version,
        savedAtMs: saved.saved_at_ms,
        evaluation: saved.evaluation,
        status: changedMeanwhile ? 'unsaved' : 'saved',
        problem: null,
      });
      if (changedMeanwhile) this.#schedule(pauseMs);
    } catch (problem) {
      this.#dirtySinceMs ??= Date.now();
      if (problem instanceof Problem && problem.status === 409) return this.#meetConflict(problem);
      this.#publish({ status: 'failed', problem });
      this.#schedule(retryMs);
    }
  }

  async #meetConflict(problem: Problem): Promise<void> {
    this.#publish({ status: 'conflict', problem });
    if (problem.code !== 'draft_stale') return;
    const detail = await this.#transport.load(this.#requestId).catch(() => null);
    if (detail?.draft) this.#publish({ theirs: detail.draft });
  }

  #publish(patch: Partial<DraftState>): void {
    this.#state = { ...this.#state, ...patch };
    this.#changed();
  }
}
