import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { completeClinicalContext } from '../../api/client.ts';
import { keys, requestQuery } from '../../api/queries.ts';
import type { FieldValues, ReadingRequestDetail } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { Waiting } from '../../ui/Waiting.tsx';
import { answered } from '../fields/field-text.ts';
import { PatientBanner } from '../reading/PatientBanner.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { ContextFields } from './ContextFields.tsx';
import { ReturnedNotice } from './ReturnedNotice.tsx';
import { useMarkRead } from './use-mark-read.ts';

/** Completes what a request lacks, for the physician who knows the patient. */
export function Page() {
  const strings = useStrings();
  const { requestId } = useParams({ from: '/requests/$requestId/context' });
  const { data, error } = useQuery(requestQuery(requestId));
  if (data) return <Loaded key={data.id} request={data} />;
  return (
    <main className="p-4">
      <h1 className="sr-only">{strings.requests.contextTitle}</h1>
      {error ? <ProblemBanner error={error} /> : <Waiting text={strings.common.loading} />}
    </main>
  );
}

function Loaded({ request }: { request: ReadingRequestDetail }) {
  const strings = useStrings();
  const { reading, requests } = strings;
  const queries = useQueryClient();
  const navigate = useNavigate();
  // The notice that it was sent back is what stands on this page.
  useMarkRead(request, []);
  const [values, setValues] = useState<FieldValues>(request.clinical_context);
  const [contact, setContact] = useState({
    callback_number: request.callback_number ?? '',
    callback_person: request.callback_person ?? '',
    responsible_physician: request.responsible_physician ?? '',
  });
  const [problem, setProblem] = useState<unknown>(null);
  const [commandId, setCommandId] = useState(() => crypto.randomUUID());
  const submit = async () => {
    setProblem(null);
    try {
      const detail = await completeClinicalContext(request.id, { ...answered(values), ...answered(contact) }, commandId);
      queries.setQueryData(keys.request(request.id), detail);
      void queries.invalidateQueries({ queryKey: keys.requests });
      void navigate({ to: '/requests' });
    } catch (error) {
      setProblem(error);
      setCommandId(crypto.randomUUID());
    }
  };
  const contacts = [
    ['callback_number', reading.callbackNumber],
    ['callback_person', reading.callbackPerson],
    ['responsible_physician', reading.responsible],
  ] as const;
  return (
    <main className="flex h-full flex-col">
      <PatientBanner request={request} />
      <div className="min-h-0 flex-1 overflow-y-auto">
        <div className="mx-auto flex max-w-3xl flex-col gap-5 p-6">
          <h1 className="text-lg font-semibold">{requests.contextTitle}</h1>
          <ReturnedNotice request={request} answer="here" />
          <div className="grid grid-cols-3 gap-3">
            {contacts.map(([key, label]) => (
              <Labelled key={key} label={label}>
                {(props) => <input {...props} autoComplete="off" value={contact[key]} onChange={(event) => setContact({ ...contact, [key]: event.target.value })} className="field" />}
              </Labelled>
            ))}
          </div>
          <ContextFields values={values} onChange={setValues} />
          <ProblemBanner error={problem} />
          <Button kind="primary" onClick={() => void submit()} className="min-h-10 w-fit">
            {strings.common.save}
          </Button>
        </div>
      </div>
    </main>
  );
}
