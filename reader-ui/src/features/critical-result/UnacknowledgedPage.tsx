import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { criticalResultsQuery, requestsQuery } from '../../api/queries.ts';
import type { ReadingRequestSummary } from '../../api/types.ts';
import { clock, dateTime } from '../../lib/dates.ts';
import { useServerTime } from '../../lib/use-tick.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge, criticalityTone } from '../../ui/Badge.tsx';
import { PatientName } from '../../ui/PatientName.tsx';
import { Empty, Waiting } from '../../ui/Waiting.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { useSession } from '../session/session-context.ts';

const rank: Record<string, number> = { crit_red: 0, crit_orange: 1, crit_yellow: 2, none: 3 };

/** Signed and not acknowledged, the gravest and oldest first: nobody is forgotten. */
export function Page() {
  const strings = useStrings();
  const { liaison } = strings;
  const now = useServerTime();
  const { data, error, isPending, refetch } = useQuery(requestsQuery('all'));
  const { permissions } = useSession().session;
  const { data: critical } = useQuery({ ...criticalResultsQuery(), enabled: permissions.includes('view_critical_results') });
  const signedAtMs = (request: ReadingRequestSummary): number | null =>
    request.signed_at_ms ?? critical?.items.find(({ reading_request_id: id }) => id === request.id)?.signed_at_ms ?? null;
  const items = (data?.items ?? [])
    .filter(({ report_status, acknowledged_at_ms }) => report_status !== null && acknowledged_at_ms === null)
    .toSorted((a, b) => (rank[a.criticality ?? ''] ?? 3) - (rank[b.criticality ?? ''] ?? 3) || (signedAtMs(a) ?? a.requested_at_ms) - (signedAtMs(b) ?? b.requested_at_ms));
  return (
    <main className="h-full overflow-y-auto">
      <div className="mx-auto max-w-6xl p-5">
        <h1 className="text-lg font-semibold">{liaison.title}</h1>
        <p className="mb-4 text-sm text-muted">{liaison.why}</p>
        <ProblemBanner error={error} retry={() => void refetch()} />
        {isPending && <Waiting text={strings.common.loading} />}
        {data && items.length === 0 && <Empty title={liaison.empty} />}
        <ul className="flex flex-col gap-2">
          {items.map((request) => {
            const signed = signedAtMs(request);
            return (
              <li key={request.id} className="panel grid grid-cols-[9rem_minmax(0,1fr)_minmax(0,1fr)_8rem_auto] items-center gap-4 px-4 py-3">
                <Badge tone={criticalityTone(request.criticality)}>{strings.code(request.criticality ?? 'none')}</Badge>
                <div className="min-w-0">
                  <PatientName patient={request.patient} />
                  <span className="text-xs text-muted">
                    <bdi className="font-mono">{request.patient.patient_id}</bdi> / {strings.patient.caseCode} {request.case_code}
                  </span>
                </div>
                <div className="text-sm">
                  <bdi>{request.requesting_site.name}</bdi>
                  <div className="text-xs text-muted">
                    <bdi>{request.responsible_physician ?? ''}</bdi> <bdi className="font-mono">{request.callback_number ?? ''}</bdi>
                  </div>
                </div>
                <div>
                  {signed !== null && (
                    <>
                      <div className="text-xs text-muted">{liaison.since}</div>
                      <time title={dateTime(signed, strings.language)} className="font-mono text-orange">
                        {clock(Math.max(0, now - signed))}
                      </time>
                    </>
                  )}
                </div>
                <Link to="/requests/$requestId" params={{ requestId: request.id }} className="rounded-md border border-line-strong bg-raised px-3 py-1.5 text-sm">
                  {strings.worklist.openCase}
                </Link>
              </li>
            );
          })}
        </ul>
      </div>
    </main>
  );
}
