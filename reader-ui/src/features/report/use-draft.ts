import { useEffect, useState, useSyncExternalStore } from 'react';
import type { Draft } from '../../api/types.ts';
import type { DraftState } from './draft-saver.ts';
import { DraftSaver } from './draft-saver.ts';
import { emptyBody } from './empty-body.ts';

export interface DraftHandle {
  saver: DraftSaver;
  state: DraftState;
}

/** The draft of the request on screen, following what the relay says of it. The component is keyed by the request, so another case starts afresh. */
export function useDraft(requestId: string, draft: Draft | null): DraftHandle {
  const [store] = useState(() => {
    const listeners = new Set<() => void>();
    const saver = new DraftSaver(requestId, draft, emptyBody, () => {
      for (const listener of listeners) listener();
    });
    const subscribe = (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    };
    return { saver, subscribe };
  });
  useEffect(() => {
    const leaving = () => void store.saver.flush();
    addEventListener('pagehide', leaving);
    return () => {
      removeEventListener('pagehide', leaving);
      leaving();
    };
  }, [store]);
  useEffect(() => {
    if (draft) store.saver.adopt(draft);
  }, [store, draft]);
  const state = useSyncExternalStore(store.subscribe, store.saver.getState);
  return { saver: store.saver, state };
}
