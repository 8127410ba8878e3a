import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { actOnRequest } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';

/** Well inside the relay's lease, and cheap. */
const everyMs = 60_000;

/** Keeps the claim while the case is on screen; when the relay says it is gone, the screen is told by a refetch. */
export function useHeartbeat(requestId: string, mine: boolean): void {
  const queries = useQueryClient();
  useEffect(() => {
    if (!mine) return undefined;
    const timer = setInterval(() => {
      actOnRequest(requestId, 'heartbeat').catch(() => void queries.invalidateQueries({ queryKey: keys.request(requestId) }));
    }, everyMs);
    return () => clearInterval(timer);
  }, [requestId, mine, queries]);
}
