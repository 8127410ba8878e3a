import type { QueryClient } from '@tanstack/react-query';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState, useSyncExternalStore } from 'react';
import { keys } from '../../api/queries.ts';
import type { Call, ReadingRequestDetail } from '../../api/types.ts';
import type { ConversationState } from './conversation-saver.ts';
import { ConversationSaver } from './conversation-saver.ts';

/**
 * The conversations being written on one case: one saver per call for as long as the case is on screen, so that changing
 * the tab neither loses words nor leaves an older text behind that could be saved over a newer one.
 */
export class ConversationBook {
  readonly #savers = new Map<string, ConversationSaver>();
  readonly #listeners = new Set<() => void>();
  readonly #saved: (call: Call) => unknown;
  #states: readonly ConversationState[] = [];

  constructor(saved: (call: Call) => unknown) {
    this.#saved = saved;
  }

  of(call: Call): ConversationSaver {
    const known = this.#savers.get(call.id);
    if (known) return known;
    const made = new ConversationSaver(call, this.#notify, this.#saved);
    this.#savers.set(call.id, made);
    return made;
  }

  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The states of all; the same list until one of them changes. */
  readonly getStates = (): readonly ConversationState[] => {
    const states = [...this.#savers.values()].map((saver) => saver.getState());
    if (states.length !== this.#states.length || states.some((state, at) => state !== this.#states[at])) this.#states = states;
    return this.#states;
  };

  /** Sends what is not on the relay yet, now. */
  flush(): void {
    for (const saver of this.#savers.values()) void saver.flush();
  }

  /** The case leaves the screen: one last save each, and nothing is repeated later. */
  close(): void {
    for (const saver of this.#savers.values()) saver.stop();
    this.#savers.clear();
  }

  readonly #notify = () => {
    for (const listener of this.#listeners) listener();
  };
}

/** Puts a call the relay has just answered with in its place among the calls of the request on screen. */
export async function replaceCall(queries: QueryClient, requestId: string, call: Call): Promise<void> {
  // An older answer still on its way must not undo this one.
  await queries.cancelQueries({ queryKey: keys.request(requestId) });
  queries.setQueryData(keys.request(requestId), (old: ReadingRequestDetail | undefined) => {
    if (!old) return old;
    const known = old.calls.some(({ id }) => id === call.id);
    return { ...old, calls: known ? old.calls.map((other) => (other.id === call.id ? call : other)) : [...old.calls, call] };
  });
}

/** The conversations of the request on screen. The component is keyed by the request, so another case starts afresh. */
export function useConversations(requestId: string, shownTab: string): ConversationBook {
  const queries = useQueryClient();
  const [book] = useState(() => new ConversationBook((call) => replaceCall(queries, requestId, call)));
  useEffect(() => () => book.flush(), [book, shownTab]);
  useEffect(() => {
    const leaving = () => book.flush();
    addEventListener('pagehide', leaving);
    return () => {
      removeEventListener('pagehide', leaving);
      book.close();
    };
  }, [book]);
  return book;
}

export interface ConversationHandle {
  saver: ConversationSaver;
  state: ConversationState;
}

/** The conversation of one call. While nobody has written here, it follows what the relay knows. */
export function useConversation(book: ConversationBook, call: Call): ConversationHandle {
  const saver = book.of(call);
  useEffect(() => saver.adopt(call), [saver, call]);
  const state = useSyncExternalStore(book.subscribe, saver.getState);
  return { saver, state };
}
