import { useQuery } from '@tanstack/react-query';
import { reportQuery } from '../../api/queries.ts';
import { dateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { safeLines } from '../fields/FieldFacts.tsx';

/** What the requesting site answered to each version: who, what is being done, and in their own words. */
export function AcknowledgementList({ reportId }: { reportId: string | undefined }) {
  const strings = useStrings();
  const { data } = useQuery({ ...reportQuery(reportId ?? ''), enabled: reportId !== undefined });
  const { acknowledgements = [] } = data ?? {};
  if (acknowledgements.length === 0) return null;
  return (
    <section aria-label={strings.report.answers} className="flex flex-col gap-2">
      <h3 className="text-xs text-soft">{strings.report.answers}</h3>
      {acknowledgements.map((one) => (
        <div key={`${one.version}/${one.acknowledged_by.id}`} className="rounded-md border border-line px-3 py-2 text-sm">
          <div className="flex flex-wrap items-center gap-2">
            <bdi className="font-semibold">{one.acknowledged_by.name}</bdi>
            <Badge>{strings.sign.version(one.version)}</Badge>
            <Badge tone="green">{strings.code(one.action_taken)}</Badge>
            <time className="ml-auto text-xs text-muted">{dateTime(one.acknowledged_at_ms, strings.language)}</time>
          </div>
          {one.comment && <p className="mt-1 whitespace-pre-wrap">{safeLines(one.comment)}</p>}
        </div>
      ))}
    </section>
  );
}
