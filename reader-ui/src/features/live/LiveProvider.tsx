import { useQueryClient } from '@tanstack/react-query';
import type { QueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import type { LiveEvent, StudyProgress } from '../../api/live.ts';
import { openLive } from '../../api/live.ts';
import { keys } from '../../api/queries.ts';
import type { ReadingRequestDetail, ReadingRequestSummary } from '../../api/types.ts';
import { serverNow } from '../../lib/server-clock.ts';
import { useSession } from '../session/session-context.ts';
import { LiveContext } from './live-context.ts';
import type { LiveState } from './live-context.ts';
import { withProgress } from './patch-progress.ts';

/** A study sends an event per instance; the stack is rebuilt at most this often. */
const studyDebounceMs = 500;

/** Turns live events into refetches. An auditor reads the trail only and follows nothing. After an interruption everything on screen is asked for again. */
export function LiveProvider({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const [state, setState] = useState<LiveState>({ connected: null, lostSinceMs: null, lastEventAtMs: null });
  const { user } = useSession().session;
  const follows = user.role !== 'auditor';
  useEffect(() => {
    if (!follows) return undefined;
    const pending = new Map<string, ReturnType<typeof setTimeout>>();
    let wasDown = false;
    const received = (event: LiveEvent) => {
      setState((now) => ({ ...now, lastEventAtMs: serverNow() }));
      if (event.name === 'study' || event.name === 'study_bytes') showProgress(queries, event);
      if (event.name === 'study_bytes') return;
      const key = event.name === 'study' ? event.study_id : null;
      if (!key) return refetch(queries, event);
      // Not restarted by later events: a steady stream would otherwise never be shown.
      if (pending.has(key)) return;
      const run = () => {
        pending.delete(key);
        refetch(queries, event);
      };
      pending.set(key, setTimeout(run, studyDebounceMs));
    };
    const connected = (up: boolean, silentForMs: number) => {
      setState((now) => ({ ...now, connected: up, lostSinceMs: up ? null : serverNow() - silentForMs }));
      if (up && wasDown) void queries.invalidateQueries();
      wasDown = !up;
    };
    const close = openLive(received, connected);
    return () => {
      close();
      for (const timer of pending.values()) clearTimeout(timer);
    };
  }, [queries, follows]);
  return <LiveContext value={state}>{children}</LiveContext>;
}

/** Counts and rates are shown at once, from the event itself: on a busy line they change several times a second. */
function showProgress(queries: QueryClient, progress: StudyProgress): void {
  queries.setQueriesData<{ items: ReadingRequestSummary[] }>({ queryKey: keys.requests }, (list) =>
    list && { ...list, items: list.items.map((request) => withProgress(request, progress)) },
  );
  queries.setQueriesData<ReadingRequestDetail>({ queryKey: keys.everyRequest }, (request) => request && withProgress(request, progress));
}

function refetch(queries: QueryClient, event: Exclude<LiveEvent, { name: 'study_bytes' }>): void {
  if (event.name === 'reset') {
    void queries.invalidateQueries();
    return;
  }
  const invalidate = (queryKey: readonly unknown[]) => void queries.invalidateQueries({ queryKey });
  if (event.name === 'notification') {
    invalidate(keys.notifications);
    // A notice is about a new version: the report on screen, its notices and its acknowledgement are old now.
    invalidate(keys.reports);
    invalidate(keys.everyRequest);
    invalidate(keys.criticalResults);
    return;
  }
  invalidate(keys.requests);
  if (event.name === 'study') {
    invalidate(keys.study(event.study_id));
    // The request on screen carries the arrival of its study.
    invalidate(keys.everyRequest);
    return;
  }
  invalidate(keys.request(event.name === 'worklist' ? event.reading_request_id : event.id));
  invalidate(keys.reports);
  invalidate(keys.notifications);
  invalidate(keys.criticalResults);
}
