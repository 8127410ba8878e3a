import { useQuery } from '@tanstack/react-query';
import { useDeferredValue, useState } from 'react';
import { auditQuery } from '../../api/queries.ts';
import type { AuditEntry } from '../../api/types.ts';
import { fullDateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Table } from '../../ui/Table.tsx';
import { AdminPage } from './AdminPage.tsx';

export function Page() {
  const strings = useStrings();
  const { audit, common } = strings;
  const [action, setAction] = useState('');
  const wanted = useDeferredValue(action.trim());
  const query = useQuery(auditQuery({ limit: '200' }));
  const items = (query.data?.items ?? []).filter((entry) => entry.action.includes(wanted));
  const rows = items.map((entry) => ({
    key: String(entry.seq),
    cells: [
      <span className="font-mono text-xs text-muted">{entry.seq}</span>,
      fullDateTime(entry.at_ms, strings.language),
      <bdi>{actorName(entry)}</bdi>,
      <span className="font-mono text-xs">{entry.action}</span>,
      <span className="font-mono text-xs break-all text-soft">{[entry.object_kind, entry.object_id].filter(Boolean).join(' ')}</span>,
      entry.outcome ? strings.code(entry.outcome) : '',
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

function actorName({ actor }: AuditEntry): string {
  if (actor === null) return '—';
  return typeof actor === 'string' ? actor : (actor.name ?? actor.id ?? '—');
}
