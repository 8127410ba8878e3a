import { saveConversation } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import type { Call, Conversation } from '../../api/types.ts';
import { readConversation, toWire } from './conversation-form.ts';

export interface ConversationState {
  conversation: Conversation;
  status: 'saved' | 'unsaved' | 'saving' | 'failed';
  savedAtMs: number | null;
  problem: unknown;
}

const pauseMs = 1_200;
const retryMs = 5_000;

/** Keeps the conversation of one open call on the relay while it is being written; one save at a time. */
export class ConversationSaver {
  readonly #callId: string;
  readonly #changed: () => void;
  readonly #saved: (call: Call) => unknown;
  #state: ConversationState;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dirty = false;
  #written = false;
  #stopped = false;
  #running: Promise<void> | null = null;

  constructor(call: Call, changed: () => void, saved: (call: Call) => unknown) {
    this.#callId = call.id;
    this.#changed = changed;
    this.#saved = saved;
    this.#state = { conversation: readConversation(call.conversation), status: 'saved', savedAtMs: null, problem: null };
  }

  readonly getState = (): ConversationState => this.#state;

  /** Takes the relay's text, until the first word is written here: from then on this one is the newer. */
  adopt(call: Call): void {
    if (!this.#written) this.#publish({ conversation: readConversation(call.conversation) });
  }

  update(patch: Partial<Conversation>): void {
    this.#written = true;
    this.#dirty = true;
    this.#publish({ conversation: { ...this.#state.conversation, ...patch }, status: 'unsaved' });
    this.#schedule(pauseMs);
  }

  /** Resolves when everything written is on the relay, or with false. */
  async flush(): Promise<boolean> {
    clearTimeout(this.#timer);
    await this.#running;
    if (this.#dirty) await this.#save();
    return this.#state.status === 'saved';
  }

  /** Saves once more, if there is anything to save, and never again by itself: a late repeat could undo newer words. */
  stop(): void {
    void this.flush();
    this.#stopped = true;
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#save(), afterMs);
  }

  async #save(): Promise<void> {
    // Two may have waited for the same save; the second finds the next one under way, or nothing left to do.
    while (this.#running) await this.#running;
    if (!this.#dirty) return;
    this.#running = this.#saveOnce().finally(() => {
      this.#running = null;
    });
    await this.#running;
  }

  async #saveOnce(): Promise<void> {
    this.#dirty = false;
    this.#publish({ status: 'saving' });
    try {
      const call = await saveConversation(this.#callId, toWire(this.#state.conversation));
      this.#publish({ status: this.#dirty ? 'unsaved' : 'saved', savedAtMs: Date.now(), problem: null });
      this.#saved(call);
      if (this.#dirty) this.#schedule(pauseMs);
    } catch (problem) {
      this.#dirty = true;
      this.#publish({ status: 'failed', problem });
      if (mayPass(problem)) this.#schedule(retryMs);
    }
  }

  #publish(patch: Partial<ConversationState>): void {
    this.#state = { ...this.#state, ...patch };
    this.#changed();
  }
}

/** Whether the same save may succeed later: not when the relay has read it and said no. */
function mayPass(problem: unknown): boolean {
  return !(problem instanceof Problem) || problem.status === 0 || problem.status >= 500 || [401, 408, 429].includes(problem.status);
}
