import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { addAddendum } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import type { ReadingRequestDetail } from '../../api/types.ts';
import { dateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge, criticalityTone } from '../../ui/Badge.tsx';
import { Button } from '../../ui/Button.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { useSession } from '../session/session-context.ts';

/** Signed versions, newest first; after a final one only addenda. */
export function VersionList({ request, canAdd }: { request: ReadingRequestDetail; canAdd: boolean }) {
  const strings = useStrings();
  const { user } = useSession().session;
  const { reports } = request;
  if (reports.length === 0) return null;
  const latest = reports.toSorted((a, b) => b.version - a.version);
  const final = latest.some(({ status }) => status !== 'preliminary');
  const reportId = latest[0]?.report_id;
  return (
    <section aria-label={strings.sign.versions} className="flex flex-col gap-2">
      <h3 className="text-xs text-soft">{strings.sign.versions}</h3>
      <ol className="flex flex-col gap-1.5">
        {latest.map((version) => (
          <li key={version.id} className="rounded-md border border-line px-3 py-2 text-sm">
            <div className="flex flex-wrap items-center gap-2">
              <span className="font-semibold">{strings.sign.version(version.version)}</span>
              <Badge tone="green">{strings.code(version.status)}</Badge>
              {version.body.criticality && <Badge tone={criticalityTone(version.body.criticality)}>{strings.code(version.body.criticality)}</Badge>}
              <span className="ml-auto text-xs text-muted">{strings.report.signedBy(version.reader.name, dateTime(version.signed_at_ms, strings.language))}</span>
            </div>
            {version.text_of_addendum && <p className="mt-1 whitespace-pre-wrap text-soft">{version.text_of_addendum}</p>}
          </li>
        ))}
      </ol>
      {canAdd && final && reportId && user.role === 'reader' && <AddendumForm requestId={request.id} reportId={reportId} />}
    </section>
  );
}

function AddendumForm({ requestId, reportId }: { requestId: string; reportId: string }) {
  const strings = useStrings();
  const queries = useQueryClient();
  const [text, setText] = useState('');
  const [password, setPassword] = useState('');
  const [commandId, setCommandId] = useState(() => crypto.randomUUID());
  const [problem, setProblem] = useState<unknown>(null);
  const submit = async () => {
    setProblem(null);
    setPassword('');
    try {
      await addAddendum(reportId, text.trim(), password, commandId);
      setText('');
      setCommandId(crypto.randomUUID());
      await queries.invalidateQueries({ queryKey: keys.request(requestId) });
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <details className="rounded-md border border-line px-3 py-2">
      <summary className="text-sm">{strings.sign.addendum}</summary>
      <div className="mt-2 flex flex-col gap-2">
        <textarea rows={3} value={text} onChange={(event) => setText(event.target.value)} aria-label={strings.sign.addendumText} className="field" />
        <Labelled label={strings.sign.password}>
          {(props) => <input {...props} type="password" autoComplete="current-password" value={password} onChange={(event) => setPassword(event.target.value)} className="field !w-72" />}
        </Labelled>
        <ProblemBanner error={problem} />
        <Button kind="primary" disabled={text.trim() === '' || password === ''} onClick={() => void submit()} className="w-fit">
          {strings.sign.addendumSign}
        </Button>
      </div>
    </details>
  );
}
