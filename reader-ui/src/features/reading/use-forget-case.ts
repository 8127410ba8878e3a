import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { keys } from '../../api/queries.ts';

/**
 * Leaving a case takes its data out of memory. Only once nothing on screen shows them any more: a query that is taken
 * from under the page would go on being shown and never be brought up to date again.
 */
export function useForgetCase(requestId: string, studyId: string | null): void {
  const queries = useQueryClient();
  useEffect(() => () => forgetLater(() => queries.removeQueries({ queryKey: keys.request(requestId), type: 'inactive' })), [queries, requestId]);
  useEffect(() => {
    if (studyId === null) return undefined;
    return () => forgetLater(() => queries.removeQueries({ queryKey: keys.study(studyId), type: 'inactive' }));
  }, [queries, studyId]);
}

/** What is on screen lets go of its queries in the same turn as this. */
function forgetLater(forget: () => void): void {
  setTimeout(forget, 0);
}
