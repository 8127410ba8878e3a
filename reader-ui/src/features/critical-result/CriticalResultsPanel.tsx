import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { criticalResultsQuery } from '../../api/queries.ts';
import type { CriticalResult } from '../../api/types.ts';
import { clock, dateTime } from '../../lib/dates.ts';
import { useServerTime } from '../../lib/use-tick.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge, criticalityTone } from '../../ui/Badge.tsx';
import { classNames } from '../../ui/class-names.ts';
import { DeliveryFact } from '../reading/DeliveryFact.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';

/** The red findings nobody has acknowledged yet, and who knows of them; what was acknowledged of late follows. */
export function CriticalResultsPanel() {
  const { criticalResults: words } = useStrings();
  const { data, error, refetch } = useQuery(criticalResultsQuery());
  const now = useServerTime();
  const items = data?.items ?? [];
  const open = items.filter(({ acknowledged_at_ms: atMs }) => atMs === null).length;
  return (
    <section aria-label={words.title} className={classNames('border-b px-4 py-2', open > 0 ? 'border-[#8a2f36] bg-[#3a1216]/40' : 'border-line')}>
      <h2 className="flex items-center gap-2 text-sm font-semibold">
        {words.title} {data && <Badge tone={open > 0 ? 'red' : 'green'}>{words.count(open)}</Badge>}
        {data && items.length === 0 && <span className="font-normal text-muted">{words.empty}</span>}
      </h2>
      <ProblemBanner error={error} retry={() => void refetch()} />
      {items.length > 0 && (
        <ul className="mt-1.5 flex max-h-40 flex-col gap-1.5 overflow-y-auto">
          {items.map((result) => (
            <Result key={`${result.report_id}/${result.version}`} result={result} now={now} />
          ))}
        </ul>
      )}
    </section>
  );
}

function Result({ result, now }: { result: CriticalResult; now: number }) {
  const strings = useStrings();
  const { criticalResults: words, language } = strings;
  const { acknowledged_at_ms: acknowledgedAtMs, acknowledged_by: acknowledgedBy } = result;
  const late = acknowledgedAtMs === null && now > result.acknowledge_by_ms;
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
      <Badge tone={acknowledgedAtMs === null ? criticalityTone(result.criticality) : 'green'}>{strings.code(result.criticality)}</Badge>
      <Link to="/requests/$requestId" params={{ requestId: result.reading_request_id }} className="underline">
        {strings.patient.caseCode} <span className="font-mono">{result.case_code}</span>
      </Link>
      <bdi>{result.requesting_site}</bdi>
      <span className="text-xs text-muted">{words.signedBy(result.reader.name, dateTime(result.signed_at_ms, language))}</span>
      {acknowledgedAtMs === null ? (
        <span className={classNames('font-mono', late ? 'font-semibold text-red' : 'text-orange')}>
          {clock(Math.max(0, now - result.signed_at_ms))} {late && words.late}
        </span>
      ) : (
        <span className="text-green">✓ {words.acknowledged(acknowledgedBy?.name ?? '', dateTime(acknowledgedAtMs, language))}</span>
      )}
      <span className="flex basis-full flex-wrap gap-x-4 pl-2 text-xs">
        {result.told.length === 0 && <span className="text-red">{words.nobodyTold}</span>}
        {result.told.map(({ person, role, site, delivered_at_ms: deliveredAtMs, read_at_ms: readAtMs }) => (
          <span key={person.id}>
            <bdi className="font-semibold">{person.name}</bdi> <span className="text-muted">{strings.code(role)}</span> <bdi className="text-muted">{site}</bdi>{' '}
            <DeliveryFact label={strings.reading.delivered} atMs={deliveredAtMs} /> <DeliveryFact label={strings.reading.read} atMs={readAtMs} />
          </span>
        ))}
      </span>
    </li>
  );
}
