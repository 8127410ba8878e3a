import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { notificationsQuery, requestsQuery } from '../../api/queries.ts';
import type { Notice, ReadingRequestSummary } from '../../api/types.ts';
import { dateTime } from '../../lib/dates.ts';
import { safeText } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge, criticalityTone, urgencyTone } from '../../ui/Badge.tsx';
import { Empty, Waiting } from '../../ui/Waiting.tsx';
import { PatientName } from '../../ui/PatientName.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { useSession } from '../session/session-context.ts';
import { useUnreadCount } from '../shell/use-unread-count.ts';
import { ArrivalBadge } from '../worklist/ArrivalBadge.tsx';
import { birthLine } from '../worklist/order.ts';
import { ReturnedNotice } from './ReturnedNotice.tsx';

/** A site's own requests: what waits, what came back, what still needs an acknowledgement. */
export function Page() {
  const strings = useStrings();
  const { user } = useSession().session;
  const { data, error, isPending, refetch } = useQuery(requestsQuery('all'));
  const { data: notices } = useQuery(notificationsQuery());
  const unread = new Set(notices?.items.filter(({ recipient, read_at_ms }) => recipient.id === user.id && read_at_ms === null).map(({ reading_request_id }) => reading_request_id));
  const unreadCount = useUnreadCount();
  // What needs this site's hand comes first, then the newest.
  const needsHand = (request: ReadingRequestSummary) => Boolean(request.returned) || (request.report_status !== null && request.acknowledged_at_ms === null) || unread.has(request.id);
  const items = (data?.items ?? []).toSorted((a, b) => Number(needsHand(b)) - Number(needsHand(a)) || b.requested_at_ms - a.requested_at_ms);
  return (
    <main className="flex h-full flex-col">
      <div className="flex items-center gap-3 border-b border-line px-5 py-3">
        <h1 className="text-lg font-semibold">{strings.requests.title}</h1>
        {unreadCount > 0 && <Badge tone="accent">{strings.requests.unread(unreadCount)}</Badge>}
      </div>
      <div className="min-h-0 flex-1 overflow-y-auto">
        <div className="mx-auto flex max-w-5xl flex-col gap-2 p-5">
          <ProblemBanner error={error} retry={() => void refetch()} />
          <UnreadNotices notices={notices?.items.filter(({ recipient, read_at_ms }) => recipient.id === user.id && read_at_ms === null) ?? []} />
          {isPending && <Waiting text={strings.common.loading} />}
          {data && items.length === 0 && <Empty title={strings.requests.empty} />}
          {items.map((request) => (
            <RequestCard key={request.id} request={request} unread={unread.has(request.id)} />
          ))}
        </div>
      </div>
    </main>
  );
}

/** Notices not yet read, each leading to what it is about. */
function UnreadNotices({ notices }: { notices: readonly Notice[] }) {
  const strings = useStrings();
  if (notices.length === 0) return null;
  return (
    <section aria-label={strings.requests.notices} className="flex flex-col gap-1.5">
      {notices.map((notice) => (
        <Link
          key={notice.id}
          to="/requests/$requestId"
          params={{ requestId: notice.reading_request_id }}
          className="flex items-center gap-3 rounded-md border border-[#1d6370] bg-[#0f3a42] px-4 py-2 text-sm hover:bg-[#134852]"
        >
          <span aria-hidden className="size-2.5 shrink-0 rounded-full bg-accent" />
          <span className="font-semibold">{strings.code(notice.kind)}</span>
          {notice.criticality && notice.criticality !== 'none' && <Badge tone={criticalityTone(notice.criticality)}>{strings.code(notice.criticality)}</Badge>}
          <span className="text-soft">
            {strings.patient.caseCode} <span className="font-mono">{notice.case_code}</span>
          </span>
          <time className="ml-auto text-xs text-soft">{dateTime(notice.created_at_ms, strings.language)}</time>
        </Link>
      ))}
    </section>
  );
}

function RequestCard({ request, unread }: { request: ReadingRequestSummary; unread: boolean }) {
  const strings = useStrings();
  const { user } = useSession().session;
  const { patient } = request;
  const waiting = request.report_status === null;
  const acknowledge = !waiting && request.acknowledged_at_ms === null;
  const link = 'rounded-md border px-3 py-1.5 text-sm whitespace-nowrap';
  return (
    <article className={`panel grid grid-cols-[minmax(0,1fr)_auto_auto] items-center gap-x-6 gap-y-2 px-4 py-3 ${acknowledge ? '!border-accent' : ''}`}>
      <div className="min-w-0">
        <div className="flex flex-wrap items-center gap-2">
          {unread && <span aria-hidden className="size-2.5 rounded-full bg-accent" />}
          <PatientName patient={patient} />
        </div>
        <p className="text-xs text-soft">
          <bdi className="font-mono">{safeText(patient.patient_id)}</bdi> {birthLine(patient, strings)}
        </p>
        <p className="text-xs text-muted">
          {dateTime(request.requested_at_ms, strings.language)} / {strings.patient.caseCode} <span className="font-mono text-soft">{request.case_code}</span>
        </p>
      </div>
      <div className="flex flex-col items-start gap-1">
        <span className="flex gap-1">
          <Badge tone={urgencyTone(request.urgency)}>{strings.code(request.urgency)}</Badge>
          <Badge tone={request.returned ? 'orange' : waiting ? 'neutral' : 'green'}>{strings.code(request.state)}</Badge>
          {request.criticality && request.criticality !== 'none' && <Badge tone={criticalityTone(request.criticality)}>{strings.code(request.criticality)}</Badge>}
        </span>
        {waiting ? <ArrivalBadge arrival={request.arrival} /> : acknowledge && <span className="text-sm font-semibold text-accent">{strings.report.mustAcknowledge}</span>}
        {request.claim && waiting && (
          <span className="text-xs text-muted">
            {strings.code('claimed')}: <bdi>{request.claim.reader.name}</bdi>
          </span>
        )}
      </div>
      <div className="flex flex-col gap-1.5">
        {!request.clinical_context_complete && waiting && !request.returned && (
          <Link to="/requests/$requestId/context" params={{ requestId: request.id }} className={`${link} border-[#84561f] bg-orange-deep`}>
            {strings.requests.completeContext}
          </Link>
        )}
        <Link to="/requests/$requestId" params={{ requestId: request.id }} className={`${link} ${acknowledge ? 'border-transparent bg-accent font-semibold text-void' : 'border-line-strong bg-raised'} text-center`}>
          {waiting || user.role === 'technologist' ? strings.worklist.openCase : strings.requests.viewReport}
        </Link>
      </div>
      {request.returned && (
        <div className="col-span-full">
          <ReturnedNotice request={request} answer="link" />
        </div>
      )}
    </article>
  );
}
