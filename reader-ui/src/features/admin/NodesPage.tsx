import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { inviteNode } from '../../api/client.ts';
import { nodesQuery, sitesQuery } from '../../api/queries.ts';
import { dateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Button } from '../../ui/Button.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { Table } from '../../ui/Table.tsx';
import { Empty } from '../../ui/Waiting.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { AdminPage } from './AdminPage.tsx';
import { WithheldAtSites } from './WithheldAtSites.tsx';

export function Page() {
  const strings = useStrings();
  const { admin } = strings;
  const query = useQuery(nodesQuery());
  const when = (atMs: number | null) => (atMs === null ? '—' : dateTime(atMs, strings.language));
  const rows = (query.data?.items ?? []).map((node) => ({
    key: node.id,
    cells: [
      <bdi>{node.site_name}</bdi>,
      <span className="flex gap-1">
        <Badge>{strings.code(node.state)}</Badge>
        <Badge tone={node.connected ? 'green' : 'orange'}>{node.connected ? admin.connected : admin.disconnected}</Badge>
      </span>,
      when(node.last_seen_at_ms),
      when(node.certificate_not_after_ms),
      node.agent_version ?? '—',
    ],
  }));
  return (
    <AdminPage
      title={admin.nodes}
      query={query}
      empty={false}
      table={
        <>
          {rows.length === 0 ? (
            <Empty title={admin.empty} />
          ) : (
            <Table headings={[admin.site, admin.state, admin.lastSeen, admin.certificate, admin.version]} rows={rows} />
          )}
          <WithheldAtSites />
        </>
      }
      form={<InviteForm />}
    />
  );
}

/** The code is shown once and kept nowhere on the page. */
function InviteForm() {
  const strings = useStrings();
  const { admin } = strings;
  const { data: sites } = useQuery(sitesQuery());
  const [siteCode, setSiteCode] = useState('');
  const [invitation, setInvitation] = useState<{ code: string | null; expires_at_ms: number } | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const invite = () => {
    setProblem(null);
    setInvitation(null);
    inviteNode(siteCode).then(setInvitation, setProblem);
  };
  return (
    <section className="panel flex flex-col gap-3 p-4">
      <h2 className="text-sm font-semibold">{admin.invite}</h2>
      <Labelled label={admin.site}>
        {(props) => (
          <select {...props} value={siteCode} onChange={(event) => setSiteCode(event.target.value)} className="field">
            <option value="">{strings.common.choose}</option>
            {sites?.items.map((site) => (
              <option key={site.id} value={site.code}>
                {site.name}
              </option>
            ))}
          </select>
        )}
      </Labelled>
      <ProblemBanner error={problem} />
      <Button kind="primary" disabled={siteCode === ''} onClick={invite}>
        {admin.invite}
      </Button>
      {invitation && (
        <div role="status" className="flex flex-col gap-2 rounded-md border-2 border-accent-deep bg-void p-3">
          <p className="text-xs text-muted">{admin.invitation}</p>
          <code className="font-mono text-base leading-relaxed break-all select-all">{invitation.code ?? admin.noCode}</code>
          <p className="text-xs text-orange">{admin.expires(dateTime(invitation.expires_at_ms, strings.language))}</p>
          <p className="text-xs text-muted">{admin.invitationUse}</p>
          <code className="font-mono text-xs break-all text-soft">tancho-agent enroll --relay HOST:PORT --code …</code>
        </div>
      )}
    </section>
  );
}
