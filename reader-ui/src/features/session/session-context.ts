import { createContext, useContext } from 'react';
import type { Session } from '../../api/types.ts';

export interface SessionControl {
  session: Session;
  /** Whether the page is locked or its session over: then nobody sees what is drawn. */
  covered: boolean;
  lock(): void;
  logOut(): void;
}

export const SessionContext = createContext<SessionControl | null>(null);

/** Who is logged in. Only used below the gate, where somebody is. */
export function useSession(): SessionControl {
  const control = useContext(SessionContext);
  if (!control) throw new Error('useSession needs SessionGate above it');
  return control;
}
