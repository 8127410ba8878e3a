import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { reportQuery, requestQuery, templatesQuery } from '../../api/queries.ts';
import type { Acknowledgement, ReadingRequestDetail, ReportVersion } from '../../api/types.ts';
import { dateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { Empty, Waiting } from '../../ui/Waiting.tsx';
import { forgetImages } from '../../viewer/engine.ts';
import { CallRecord } from '../critical-result/CallRecord.tsx';
import { isClosed, readBackDiffers } from '../critical-result/call-facts.ts';
import { safeLines } from '../fields/FieldFacts.tsx';
import { PatientBanner } from '../reading/PatientBanner.tsx';
import { ContextPanel } from '../reading/ContextPanel.tsx';
import { HistoryPanel } from '../reading/HistoryPanel.tsx';
import { ReturnedNotice } from '../requests/ReturnedNotice.tsx';
import { useMarkRead } from '../requests/use-mark-read.ts';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { useSession } from '../session/session-context.ts';
import { AcknowledgeForm } from './AcknowledgeForm.tsx';
import { ReportView } from './ReportView.tsx';

/** The report at the requesting site: what was found, what was said on the phone, and the acknowledgement. */
export function ReportPage() {
  const strings = useStrings();
  const { requestId } = useParams({ from: '/requests/$requestId' });
  const { data, error, refetch } = useQuery(requestQuery(requestId));
  useEffect(() => forgetImages, [requestId]);
  if (data) return <Loaded key={data.id} request={data} />;
  return (
    <main className="p-4">
      <h1 className="sr-only">{strings.report.title}</h1>
      {error ? <ProblemBanner error={error} retry={() => void refetch()} /> : <Waiting text={strings.common.loading} />}
    </main>
  );
}

function Loaded({ request }: { request: ReadingRequestDetail }) {
  const strings = useStrings();
  const { user } = useSession().session;
  const reportId = request.reports.at(-1)?.report_id;
  const { data: report } = useQuery({ ...reportQuery(reportId ?? ''), enabled: reportId !== undefined });
  const versions = newestFirst([...request.reports, ...(report?.versions ?? [])]);
  const [latest, ...older] = versions;
  const [olderOpen, setOlderOpen] = useState(false);
  // What was there when someone opened the page. A version that comes later is drawn at once, and read when someone says so:
  // the page may stand open before nobody.
  const [seen, setSeen] = useState(() => latest?.version ?? 0);
  const isNew = latest !== undefined && latest.version > seen;
  // Without them a report would be drawn in codes, and nobody reads those.
  const { isPending: unnamed, error: templatesProblem, refetch: askAgain } = useQuery(templatesQuery());
  const drawn = olderOpen ? versions : versions.slice(0, 1);
  useMarkRead(request, unnamed ? [] : drawn.filter(({ version }) => version <= seen));
  const acknowledgement = report?.acknowledgements.find(({ version }) => version === latest?.version);
  const calls = request.calls.filter(isClosed);
  const callBackIf = latest?.body.disposition.map((one) => one.call_again_if).find((text) => typeof text === 'string') ?? null;
  const ownSite = user.site.id === request.requesting_site.id;
  const mayAcknowledge = user.role === 'referrer' && ownSite;
  if (unnamed) {
    return (
      <main>
        <h1 className="sr-only">{strings.report.title}</h1>
        <PatientBanner request={request} />
        <Waiting text={strings.common.loading} />
      </main>
    );
  }
  return (
    <main className="flex h-full flex-col">
      <h1 className="sr-only">{strings.report.title}</h1>
      <PatientBanner request={request} />
      <div className="min-h-0 flex-1 overflow-y-auto">
        <div className="mx-auto grid max-w-7xl gap-6 p-5 lg:grid-cols-[minmax(0,1fr)_24rem]">
          <div className="flex flex-col gap-6">
            <ProblemBanner error={templatesProblem} retry={() => void askAgain()} />
            {isNew && (
              <Banner
                tone="warning"
                action={
                  <Button small onClick={() => setSeen(latest.version)}>
                    {strings.report.newSeen}
                  </Button>
                }
              >
                {strings.report.newVersion(latest.version)}
              </Banner>
            )}
            {latest && readBackDiffers(request) && <Banner tone="danger">{strings.report.readBackDiffers}</Banner>}
            {latest ? <ReportView request={request} version={latest} /> : <NoReport request={request} mayAnswer={ownSite} />}
            {calls.length > 0 && (
              <div className="flex flex-col gap-3">
                <h2 className="text-base font-semibold">{strings.report.calls}</h2>
                {calls.map((call) => (
                  <CallRecord key={call.id} call={call} canAdd={false} />
                ))}
              </div>
            )}
            {older.length > 0 && (
              <details onToggle={(event) => setOlderOpen(event.currentTarget.open)}>
                <summary className="text-sm text-soft">{strings.report.older}</summary>
                <div className="mt-3 flex flex-col gap-6 opacity-85">
                  {older.map((version) => (
                    <ReportView key={version.id} request={request} version={version} />
                  ))}
                </div>
              </details>
            )}
          </div>
          <aside className="flex flex-col gap-5">
            {acknowledgement ? <AcknowledgedBanner acknowledgement={acknowledgement} /> : latest && !isNew && mayAcknowledge && <AcknowledgeForm key={latest.id} version={latest} callBackIf={callBackIf} />}
            <div className="panel p-4">
              <ContextPanel request={request} />
            </div>
            <div className="panel p-4">
              <HistoryPanel request={request} />
            </div>
          </aside>
        </div>
      </div>
    </main>
  );
}

/** What the report waits for: a reader, or an answer of this site. */
function NoReport({ request, mayAnswer }: { request: ReadingRequestDetail; mayAnswer: boolean }) {
  const { requests, report } = useStrings();
  if (request.returned) return <ReturnedNotice request={request} answer={mayAnswer ? 'link' : 'none'} />;
  if (request.state === 'cancelled') return <Empty title={requests.cancelled} />;
  return <Empty title={requests.waiting} why={report.none} />;
}

function AcknowledgedBanner({ acknowledgement }: { acknowledgement: Acknowledgement }) {
  const strings = useStrings();
  return (
    <Banner tone="good">
      {strings.report.acknowledged(acknowledgement.acknowledged_by.name, dateTime(acknowledgement.acknowledged_at_ms, strings.language))}
      <div className="text-xs">{strings.code(acknowledgement.action_taken)}</div>
      {acknowledgement.comment && <p className="mt-1 whitespace-pre-wrap">{safeLines(acknowledgement.comment)}</p>}
    </Banner>
  );
}

/** The request and its report are asked for one after the other; whichever knows of a newer version is right. */
function newestFirst(versions: readonly ReportVersion[]): ReportVersion[] {
  return [...new Map(versions.map((version) => [version.version, version])).values()].toSorted((a, b) => b.version - a.version);
}
