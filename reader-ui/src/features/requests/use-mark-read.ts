import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { readNotification } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import type { ReadingRequestDetail } from '../../api/types.ts';
import { useVisible } from '../../lib/use-visible.ts';
import { useSession } from '../session/session-context.ts';

/**
 * "Read" means that what the notice is about was in front of someone: drawn, in a visible tab, not under the lock. A notice
 * without a version is about the request itself, which stands on each page that calls this.
 */
export function useMarkRead(request: ReadingRequestDetail, shown: readonly { version: number }[]): void {
  const { session, covered } = useSession();
  const visible = useVisible();
  const queries = useQueryClient();
  const isShown = (version: number | null) => version === null || shown.some((one) => one.version === version);
  const unread = request.notices
    .filter(({ recipient, read_at_ms, version }) => recipient.id === session.user.id && read_at_ms === null && isShown(version))
    .map(({ id }) => id)
    .join();
  useEffect(() => {
    if (unread === '' || covered || !visible) return;
    void Promise.allSettled(unread.split(',').map((id) => readNotification(id))).then(() => {
      void queries.invalidateQueries({ queryKey: keys.notifications });
      return queries.invalidateQueries({ queryKey: keys.request(request.id) });
    });
  }, [unread, covered, visible, queries, request.id]);
}
