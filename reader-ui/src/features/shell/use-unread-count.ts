import { useQuery } from '@tanstack/react-query';
import { notificationsQuery } from '../../api/queries.ts';
import { useSession } from '../session/session-context.ts';

/** Notices addressed to the person logged in and not yet read. */
export function useUnreadCount(): number {
  const { user } = useSession().session;
  const enabled = user.role === 'referrer' || user.role === 'technologist' || user.role === 'liaison';
  const { data } = useQuery({ ...notificationsQuery(), enabled });
  return data?.items.filter(({ recipient, read_at_ms }) => recipient.id === user.id && read_at_ms === null).length ?? 0;
}
