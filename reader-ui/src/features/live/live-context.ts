import { createContext, useContext } from 'react';

export interface LiveState {
  /** `null` until the first answer. */
  connected: boolean | null;
  /** Since when nothing was heard, on the relay's clock; null while connected. */
  lostSinceMs: number | null;
  lastEventAtMs: number | null;
}

export const LiveContext = createContext<LiveState>({ connected: null, lostSinceMs: null, lastEventAtMs: null });

export function useLive(): LiveState {
  return useContext(LiveContext);
}
