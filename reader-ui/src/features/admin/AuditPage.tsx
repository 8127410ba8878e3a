import { useQuery } from '@tanstack/react-query';
import { useDeferredValue, useState } from 'react';
import { auditQuery, usersQuery } from '../../api/queries.ts';
import type { AuditEntry } from '../../api/types.ts';
import { fullDateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Table } from '../../ui/Table.tsx';
import { useSession } from '../session/session-context.ts';
import { AdminPage } from './AdminPage.tsx';

const rowsShown = 300;

export function Page() {
  const strings = useStrings();
  const { audit, common } = strings;
  const { session } = useSession();
  const [action, setAction] = useState('');
  const wanted = useDeferredValue(action.trim());
  const query = useQuery(auditQuery(rowsShown));
  // Names are only for those who may list people; the trail itself holds ids.
  const { data: users } = useQuery({ ...usersQuery(), enabled: session.user.role === 'admin' });
  const actorName = (entry: AuditEntry) => users?.items.find(({ id }) => id === entry.actor_id)?.name ?? [strings.code(entry.actor_role ?? entry.actor_kind), entry.actor_id].filter(Boolean).join(' ');
  const actionName = ({ action: code }: AuditEntry) => audit.actions[code] ?? code;
  const items = (query.data?.items ?? []).filter((entry) => `${entry.action} ${actionName(entry)}`.includes(wanted));
  const rows = items.map((entry) => ({
    key: String(entry.seq),
    cells: [
      <span className="font-mono text-xs text-muted">{entry.seq}</span>,
      fullDateTime(entry.at_ms, strings.language),
      <bdi>{actorName(entry)}</bdi>,
      <span title={entry.action}>{actionName(entry)}</span>,
      <span className="text-soft">
        {audit.subjects[entry.subject_kind] ?? entry.subject_kind} <span className="font-mono text-xs break-all">{entry.subject_id}</span>
      </span>,
      <Badge tone={entry.outcome === 'done' ? 'neutral' : 'orange'}>{entry.outcome === 'done' ? audit.done : audit.refused}</Badge>,
    ],
  }));
  const table = (
    <>
      <input type="search" value={action} onChange={(event) => setAction(event.target.value)} aria-label={audit.filter} placeholder={audit.filter} autoComplete="off" className="field max-w-72" />
      <Table headings={['#', common.at, audit.actor, audit.action, audit.object, audit.outcome]} rows={rows} />
    </>
  );
  return <AdminPage title={audit.title} why={audit.why} query={query} empty={query.data?.items.length === 0} table={table} />;
}
