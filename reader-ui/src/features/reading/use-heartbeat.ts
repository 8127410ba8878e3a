import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { actOnRequest } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import { useSession } from '../session/session-context.ts';

/** Well inside the relay's lease, and cheap. */
const everyMs = 60_000;

/** Keeps the claim while the case is on screen and somebody may be in front of it: not while the page is covered. When the relay says it is gone, the screen is told by a refetch. */
export function useHeartbeat(requestId: string, mine: boolean): void {
  const queries = useQueryClient();
  const { covered } = useSession();
  useEffect(() => {
    if (!mine || covered) return undefined;
    const timer = setInterval(() => {
      actOnRequest(requestId, 'heartbeat').catch(() => void queries.invalidateQueries({ queryKey: keys.request(requestId) }));
    }, everyMs);
    return () => clearInterval(timer);
  }, [requestId, mine, covered, queries]);
}
