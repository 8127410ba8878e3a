import { createContext, useContext } from 'react';

export interface LiveState {
  /** `null` until the first answer. */
  connected: boolean | null;
  lastEventAtMs: number | null;
}

export const LiveContext = createContext<LiveState>({ connected: null, lastEventAtMs: null });

export function useLive(): LiveState {
  return useContext(LiveContext);
}
