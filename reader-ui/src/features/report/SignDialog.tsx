import { useState } from 'react';
import type { ReadingRequestDetail } from '../../api/types.ts';
import { studyTime } from '../../lib/dates.ts';
import { safeText } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Dialog } from '../../ui/Dialog.tsx';
import { Fact } from '../../ui/Fact.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { PatientName } from '../../ui/PatientName.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { birthLine } from '../worklist/order.ts';

interface Props {
  request: ReadingRequestDetail;
  kind: 'preliminary' | 'final';
  busy: boolean;
  problem: unknown;
  onSign(password: string): void;
  onClose(): void;
}

/** The last look at whom this is about before it cannot be changed any more; the password, as the screen may be shared. */
export function SignDialog({ request, kind, busy, problem, onSign, onClose }: Props) {
  const strings = useStrings();
  const { patient, study } = request;
  const [password, setPassword] = useState('');
  return (
    <Dialog title={strings.sign.confirmTitle} closeLabel={strings.common.cancel} onClose={onClose}>
      <form
        noValidate
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (busy || password === '') return;
          onSign(password);
          setPassword('');
        }}
      >
        <div className="rounded-md border-2 border-accent-deep bg-void p-4">
          <PatientName large patient={patient} />
          <p className="text-sm text-soft">{birthLine(patient, strings)}</p>
          <dl className="mt-3 grid grid-cols-2 gap-3">
            <Fact label={strings.patient.id}>
              <bdi className="font-mono">{safeText(patient.patient_id)}</bdi>
            </Fact>
            <Fact label={strings.patient.caseCode}>
              <span className="font-mono">{request.case_code}</span>
            </Fact>
            <Fact label={strings.patient.studyTime}>
              {studyTime(study.study_date, study.study_time)} {study.modalities.join('/')}
            </Fact>
            <Fact label={strings.patient.site}>
              <bdi>{request.requesting_site.name}</bdi>
            </Fact>
          </dl>
        </div>
        <p className="text-sm text-soft">{strings.sign.confirmWhy}</p>
        <Labelled label={strings.sign.password}>
          {(props) => (
            <input {...props} type="password" autoComplete="current-password" autoFocus value={password} onChange={(event) => setPassword(event.target.value)} className="field !w-72" />
          )}
        </Labelled>
        <ProblemBanner error={problem} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{strings.common.cancel}</Button>
          <Button kind="primary" type="submit" disabled={busy || password === ''}>
            {busy ? strings.sign.signing : strings.sign.confirmButton[kind]}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
