import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { acknowledgeReport } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import type { ReportVersion } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Choice } from '../../ui/Choice.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { acknowledgementActions } from '../critical-result/vocabulary.ts';
import { ProblemBanner } from '../session/ProblemBanner.tsx';

/** A separate act from the call: which version was read, by whom, and what is being done about it. */
export function AcknowledgeForm({ version, callBackIf }: { version: ReportVersion; callBackIf: string | null }) {
  const strings = useStrings();
  const { report } = strings;
  const queries = useQueryClient();
  const [action, setAction] = useState<string | null>(null);
  const [comment, setComment] = useState('');
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [commandId] = useState(() => crypto.randomUUID());
  const submit = async () => {
    if (!action) return;
    setBusy(true);
    setProblem(null);
    try {
      await acknowledgeReport(version.report_id, { version: version.version, action_taken: action, ...(comment.trim() ? { comment: comment.trim() } : {}) }, commandId);
      await Promise.all([
        queries.invalidateQueries({ queryKey: keys.request(version.reading_request_id) }),
        queries.invalidateQueries({ queryKey: keys.report(version.report_id) }),
        queries.invalidateQueries({ queryKey: keys.notifications }),
        queries.invalidateQueries({ queryKey: keys.requests }),
      ]);
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section aria-label={report.acknowledge} className="flex flex-col gap-3 rounded-md border-2 border-accent-deep bg-panel p-4">
      <h2 className="text-base font-semibold">{report.mustAcknowledge}</h2>
      <p className="text-sm text-soft">{report.acknowledgeWhy(version.version)}</p>
      {callBackIf && (
        <p className="rounded-md border border-[#84561f] bg-[#36220b] px-3 py-2 text-sm text-[#ffe0bb]">
          <span className="mr-2 text-xs">{report.callBackIf}</span>
          {callBackIf}
        </p>
      )}
      <div>
        <div className="mb-1 text-xs text-soft">{report.action}</div>
        <Choice label={report.action} options={acknowledgementActions.map((code) => ({ code, label: strings.code(code) }))} value={action} onChange={setAction} />
      </div>
      <Labelled label={report.comment}>{(props) => <textarea {...props} rows={2} value={comment} onChange={(event) => setComment(event.target.value)} className="field" />}</Labelled>
      <ProblemBanner error={problem} />
      <Button kind="primary" disabled={busy || !action} onClick={() => void submit()} className="min-h-10">
        {report.acknowledge}
      </Button>
    </section>
  );
}
