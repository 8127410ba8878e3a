import type { Notice, ReadingRequestDetail, TimelineEvent } from '../../api/types.ts';
import { dateTime, fullDateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { AcknowledgementList } from '../report/AcknowledgementList.tsx';
import { DeliveryFact } from './DeliveryFact.tsx';
import { safeLines } from '../fields/FieldFacts.tsx';

/** The loop (delivered, read, acknowledged: three facts, each with who and when) and the timeline of the case. */
export function HistoryPanel({ request }: { request: ReadingRequestDetail }) {
  const strings = useStrings();
  return (
    <div className="flex flex-col gap-5">
      {request.notices.length > 0 && (
        <section aria-label={strings.reading.notices} className="flex flex-col gap-2">
          <h3 className="text-xs text-soft">{strings.reading.notices}</h3>
          {request.notices.map((notice) => (
            <NoticeFacts key={notice.id} notice={notice} />
          ))}
        </section>
      )}
      <AcknowledgementList reportId={request.reports.at(-1)?.report_id} />
      <section aria-label={strings.reading.timeline}>
        <h3 className="mb-2 text-xs text-soft">{strings.reading.timeline}</h3>
        <ol className="flex flex-col border-l border-line-strong pl-4">
          {request.events.map((event) => (
            <li key={event.seq} className="relative pb-3 text-sm before:absolute before:top-2 before:-left-[21px] before:size-2 before:rounded-full before:bg-accent">
              <time className="mr-2 text-xs text-muted" title={fullDateTime(event.at_ms, strings.language)}>
                {dateTime(event.at_ms, strings.language)}
              </time>
              {strings.reading.event[event.kind] ?? strings.code(event.kind)}
              {reasonOf(event) !== null && <p className="whitespace-pre-wrap text-soft">{safeLines(reasonOf(event) ?? '')}</p>}
              {event.actor && (
                <div className="text-xs text-muted">
                  <bdi>{event.actor.name}</bdi> {strings.code(event.actor.role)} <bdi>{event.actor.site}</bdi>
                </div>
              )}
            </li>
          ))}
        </ol>
      </section>
    </div>
  );
}

/** Why a request was sent back or withdrawn, in the words of who did it. */
function reasonOf({ detail }: TimelineEvent): string | null {
  const { reason } = (detail ?? {}) as { reason?: unknown };
  return typeof reason === 'string' && reason !== '' ? reason : null;
}

export function NoticeFacts({ notice }: { notice: Notice }) {
  const strings = useStrings();
  const { reading } = strings;
  const facts = [
    { label: reading.delivered, atMs: notice.delivered_at_ms, who: undefined },
    { label: reading.read, atMs: notice.read_at_ms, who: notice.read_by?.name },
    // Only a report is acknowledged; what was sent back is answered.
    ...(notice.version === null ? [] : [{ label: reading.acknowledgedFact, atMs: notice.acknowledged_at_ms, who: notice.acknowledged_by?.name }]),
  ];
  return (
    <div className="rounded-md border border-line px-3 py-2 text-sm">
      <div className="flex flex-wrap items-center gap-2">
        <bdi className="font-semibold">{notice.recipient.name}</bdi>
        <span className="text-xs text-muted">
          <bdi>{notice.recipient.site}</bdi>
        </span>
        {notice.version !== null && <Badge>{strings.sign.version(notice.version)}</Badge>}
        <span className="ml-auto flex gap-1">
          {notice.deliveries.map(({ channel, state, attempts }) => (
            <Badge key={channel} tone={state === 'sent' ? 'green' : state === 'failed' ? 'red' : 'neutral'} title={attempts.map(({ detail }) => detail).join(' / ')}>
              {strings.code(channel)} {strings.code(state)}
            </Badge>
          ))}
        </span>
      </div>
      <div className="mt-1.5 flex flex-wrap gap-1">
        {facts.map(({ label, atMs, who }) => (
          <DeliveryFact key={label} label={label} atMs={atMs} who={who} />
        ))}
      </div>
    </div>
  );
}
