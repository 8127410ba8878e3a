import type { ReactNode } from 'react';
import type { ReadingRequestSummary } from '../../api/types.ts';
import { studyTime } from '../../lib/dates.ts';
import { safeText } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge, urgencyTone } from '../../ui/Badge.tsx';
import { Fact } from '../../ui/Fact.tsx';
import { HeaderText } from '../../ui/HeaderText.tsx';
import { PatientName } from '../../ui/PatientName.tsx';
import { birthLine } from '../worklist/order.ts';

/** Who this is about: name, id, birth date, study time, facility. On screen whenever anything of the case is. */
export function PatientBanner({ request, children }: { request: ReadingRequestSummary; children?: ReactNode }) {
  const strings = useStrings();
  const { patient, study } = request;
  return (
    <section aria-label={strings.patient.identity} className="flex flex-wrap items-center gap-x-6 gap-y-1 border-b border-line bg-panel px-4 py-2">
      <div className="min-w-0 max-w-[34rem]">
        <div className="flex items-center gap-2">
          <PatientName large patient={patient} />
          {patient.name_uncertain && <span className="text-xs text-orange">{strings.patient.nameUncertain}</span>}
        </div>
        <div className="text-sm text-soft">{birthLine(patient, strings)}</div>
      </div>
      <dl className="flex flex-wrap gap-x-6 gap-y-1">
        <Fact label={strings.patient.id}>
          <bdi className="font-mono text-[15px]">{safeText(patient.patient_id)}</bdi>
        </Fact>
        <Fact label={strings.patient.studyTime}>
          {studyTime(study.study_date, study.study_time)} {study.modalities.join('/')} <HeaderText text={study.description} uncertain={study.description_uncertain} />
        </Fact>
        <Fact label={strings.patient.site}>
          <bdi>{request.requesting_site.name}</bdi>
        </Fact>
        <Fact label={strings.patient.caseCode}>
          <span className="font-mono text-[15px] font-semibold">{request.case_code}</span>
        </Fact>
      </dl>
      <div className="ml-auto flex items-center gap-3">
        <Badge tone={urgencyTone(request.urgency)}>{strings.code(request.urgency)}</Badge>
        {children}
      </div>
    </section>
  );
}
