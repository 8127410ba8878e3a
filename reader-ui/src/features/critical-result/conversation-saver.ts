import { saveConversation } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import type { Call, Conversation } from '../../api/types.ts';
import { readConversation, toWire } from './conversation-form.ts';
import { both, mergeConversations, pick } from './merge-conversation.ts';
import type { Choice, Field } from './merge-conversation.ts';

export interface ConversationState {
  conversation: Conversation;
  status: 'saved' | 'unsaved' | 'saving' | 'failed' | 'conflict';
  savedAtMs: number | null;
  problem: unknown;
  /** What another screen has saved in fields that are also written here; nothing is saved until each is settled. */
  theirs: Partial<Conversation>;
}

const pauseMs = 1_200;
const retryMs = 5_000;

/**
 * Keeps the conversation of one open call on the relay while it is being written; one save at a time, each over the
 * version of the call this screen knows. When another screen was faster, both texts are joined field by field.
 */
export class ConversationSaver {
  readonly #callId: string;
  readonly #changed: () => void;
  readonly #saved: (call: Call) => unknown;
  #state: ConversationState;
  /** The newest version seen, and its text: what was written here since is the difference to it. */
  #version: number;
  #base: Conversation;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dirty = false;
  #stopped = false;
  #running: Promise<void> | null = null;

  constructor(call: Call, changed: () => void, saved: (call: Call) => unknown) {
    this.#callId = call.id;
    this.#changed = changed;
    this.#saved = saved;
    this.#version = call.version;
    this.#base = readConversation(call.conversation);
    this.#state = { conversation: this.#base, status: 'saved', savedAtMs: null, problem: null, theirs: {} };
  }

  readonly getState = (): ConversationState => this.#state;

  /** Takes what the relay has, wherever nothing else was written here. */
  adopt(call: Call): void {
    // A save under way is answered with the version it made.
    if (call.version > this.#version && !this.#running) this.#meet(call);
  }

  update(patch: Partial<Conversation>): void {
    this.#dirty = true;
    this.#publish({ conversation: { ...this.#state.conversation, ...patch }, status: this.#disputed() ? 'conflict' : 'unsaved' });
    this.#schedule(pauseMs);
  }

  /** Settles a field that was written on both screens. */
  settle(field: Field, choice: Choice): void {
    const { conversation, theirs } = this.#state;
    const { [field]: other, ...left } = theirs;
    const value = choice === 'mine' ? conversation[field] : choice === 'theirs' ? other : both(conversation[field], other);
    this.#publish({ theirs: left });
    this.update({ [field]: value });
  }

  /** Resolves when everything written is on the relay, or with false. */
  async flush(): Promise<boolean> {
    clearTimeout(this.#timer);
    await this.#running;
    if (this.#dirty) await this.#save();
    return this.#state.status === 'saved';
  }

  /**
   * Saves once more, if there is anything to save, and never again by itself: a late repeat could undo newer words.
   * Nobody can be asked any more, so disputed fields keep both texts.
   */
  stop(): void {
    this.#stopped = true;
    this.#settleAll();
    void this.flush();
  }

  #disputed(): boolean {
    return Object.keys(this.#state.theirs).length > 0;
  }

  #settleAll(): void {
    for (const field of Object.keys(this.#state.theirs) as Field[]) this.settle(field, 'both');
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#save(), afterMs);
  }

  async #save(): Promise<void> {
    // Two may have waited for the same save; the second finds the next one under way, or nothing left to do.
    while (this.#running) await this.#running;
    if (!this.#dirty || this.#disputed()) return;
    this.#running = this.#saveOnce().finally(() => {
      this.#running = null;
    });
    await this.#running;
  }

  async #saveOnce(): Promise<void> {
    this.#dirty = false;
    this.#publish({ status: 'saving' });
    try {
      const call = await saveConversation(this.#callId, this.#version, toWire(this.#state.conversation));
      this.#version = call.version;
      this.#base = readConversation(call.conversation);
      this.#publish({ status: this.#dirty ? 'unsaved' : 'saved', savedAtMs: Date.now(), problem: null });
      this.#saved(call);
      if (this.#dirty) this.#schedule(pauseMs);
    } catch (problem) {
      this.#dirty = true;
      const current = currentOf(problem);
      if (current && current.version !== this.#version) return this.#saveOver(current);
      this.#publish({ status: 'failed', problem });
      if (mayPass(problem)) this.#schedule(retryMs);
    }
  }

  /** Another screen was faster: its text is taken in and the whole saved again, unless somebody has to choose first. */
  async #saveOver(current: Call): Promise<void> {
    this.#meet(current);
    if (this.#stopped) this.#settleAll();
    if (!this.#disputed()) await this.#saveOnce();
  }

  #meet(call: Call): void {
    const newest = readConversation(call.conversation);
    const open = Object.keys(this.#state.theirs) as Field[];
    const { conversation, theirs } = mergeConversations(this.#base, this.#state.conversation, newest);
    this.#version = call.version;
    this.#base = newest;
    this.#publish({ conversation, theirs: { ...pick(newest, open), ...theirs } });
    if (this.#disputed()) this.#publish({ status: 'conflict' });
  }

  #publish(patch: Partial<ConversationState>): void {
    this.#state = { ...this.#state, ...patch };
    this.#changed();
  }
}

/** The call as it is on the relay, when a save was refused because of it. */
function currentOf(problem: unknown): Call | null {
  if (!(problem instanceof Problem) || problem.code !== 'call_stale') return null;
  return problem.body.current as Call;
}

/** Whether the same save may succeed later: not when the relay has read it and said no. */
function mayPass(problem: unknown): boolean {
  return !(problem instanceof Problem) || problem.status === 0 || problem.status >= 500 || [401, 408, 429].includes(problem.status);
}
