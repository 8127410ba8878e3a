import { useQuery } from '@tanstack/react-query';
import { withholdingQuery } from '../../api/queries.ts';
import { dateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Table } from '../../ui/Table.tsx';
import { Empty } from '../../ui/Waiting.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';

/** What came to the sites and was not sent on, with the reason in words. It names no patient: the site's own page does. */
export function WithheldAtSites() {
  const { withheld: words, language } = useStrings();
  const query = useQuery(withholdingQuery());
  const rows = (query.data?.items ?? []).map((study) => ({
    key: `${study.site_code} ${study.study_instance_uid}`,
    cells: [
      <bdi>{study.site_name}</bdi>,
      <ul>
        {study.withheld.map(({ reason, n_instances: n }) => (
          <li key={reason}>{words.line(words.reasons[reason] ?? words.otherReason, n)}</li>
        ))}
      </ul>,
      study.verified,
      <code className="font-mono text-xs break-all select-all">{study.study_instance_uid}</code>,
      dateTime(study.updated_at_ms, language),
    ],
  }));
  return (
    <section aria-labelledby="withheld-at-sites" className="mt-4 flex flex-col gap-2">
      <h2 id="withheld-at-sites" className="text-sm font-semibold">
        {words.heading}
      </h2>
      <p className="text-xs text-muted">{words.help}</p>
      <ProblemBanner error={query.error} retry={() => void query.refetch()} />
      {query.data && (rows.length === 0 ? <Empty title={words.nothing} /> : <Table headings={words.columns} rows={rows} />)}
    </section>
  );
}
