import { memo, useEffect, useRef } from 'react';
import type { FieldDefinition, ReadingRequestSummary } from '../../api/types.ts';
import { studyTime } from '../../lib/dates.ts';
import { safeText } from '../../lib/safe-text.ts';
import type { Strings } from '../../strings/ja.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge, criticalityTone, urgencyTone } from '../../ui/Badge.tsx';
import { Button } from '../../ui/Button.tsx';
import { HeaderText } from '../../ui/HeaderText.tsx';
import { PatientName } from '../../ui/PatientName.tsx';
import { callbackNumberId, missingLabels } from '../fields/missing.ts';
import { ArrivalBadge } from './ArrivalBadge.tsx';
import { DueClock } from './DueClock.tsx';
import { birthLine, isClaimable, nextDue } from './order.ts';

interface Props {
  request: ReadingRequestSummary;
  selected: boolean;
  ownId: string;
  mayClaim: boolean;
  /** The fields of the clinical context, for the names of those that are missing. */
  context: readonly FieldDefinition[];
  onSelect(id: string): void;
  onOpen(id: string): void;
  onClaim(id: string): void;
}

export const WorklistRow = memo(function WorklistRow({ request, selected, ownId, mayClaim, context, onSelect, onOpen, onClaim }: Props) {
  const strings = useStrings();
  const { worklist } = strings;
  const ref = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    if (selected) ref.current?.scrollIntoView({ block: 'nearest' });
  }, [selected]);
  const { patient, study, claim } = request;
  const mine = claim?.reader.id === ownId;
  const offersClaim = mayClaim && isClaimable(request);
  return (
    <tr
      ref={ref}
      aria-selected={selected}
      onClick={() => onSelect(request.id)}
      onDoubleClick={() => onOpen(request.id)}
      className="border-b border-line align-top hover:bg-raised aria-selected:bg-[#13303a] aria-selected:shadow-[inset_3px_0_0_var(--color-accent)]"
    >
      <td className="py-2.5 pr-3 pl-4">
        <Badge tone={urgencyTone(request.urgency)}>{strings.code(request.urgency)}</Badge>
        <div className="mt-1 text-xs text-muted">
          {strings.patient.caseCode} <span className="font-mono text-soft">{request.case_code}</span>
        </div>
      </td>
      <td className="px-3 py-2.5">
        <DueClock due={nextDue(request)} />
      </td>
      <td className="max-w-[26rem] min-w-56 px-3 py-2.5">
        <PatientName patient={patient} />
        <div className="text-xs text-soft">
          <bdi className="font-mono">{safeText(patient.patient_id)}</bdi>
          <span className="mx-1.5 text-muted">·</span>
          {birthLine(patient, strings)}
        </div>
        <Warnings request={request} context={context} />
      </td>
      <td className="min-w-28 px-3 py-2.5">
        <div>
          <bdi>{request.requesting_site.name}</bdi>
        </div>
        <div className="text-xs text-muted">
          <bdi>{request.responsible_physician ?? ''}</bdi>
        </div>
      </td>
      <td className="min-w-28 px-3 py-2.5">
        <div className="flex flex-wrap gap-1">
          {study.modalities.map((modality) => (
            <Badge key={modality}>{modality}</Badge>
          ))}
          <HeaderText text={study.description} uncertain={study.description_uncertain} />
        </div>
        <div className="text-xs text-muted">{studyTime(study.study_date, study.study_time)}</div>
      </td>
      <td className="max-w-[26rem] min-w-52 px-3 py-2.5">
        <ArrivalBadge arrival={request.arrival} />
      </td>
      <td className="px-3 py-2.5">
        <div className="flex flex-wrap items-center gap-1">
          <span className={mine ? 'font-semibold text-accent' : 'text-sm'}>
            {claim ? <bdi>{mine ? `${claim.reader.name}(${worklist.you})` : claim.reader.name}</bdi> : isClaimable(request) && <span className="text-muted">{worklist.unclaimed}</span>}
          </span>
        </div>
        <div className="mt-0.5 flex flex-wrap gap-1">
          <Badge>{strings.code(request.state)}</Badge>
          {request.criticality && request.criticality !== 'none' && (
            <Badge tone={criticalityTone(request.criticality)}>{strings.code(request.criticality)}</Badge>
          )}
        </div>
      </td>
      <td className="py-2.5 pr-4 pl-3 text-right">
        <Button
          small
          kind={selected ? 'primary' : 'plain'}
          onClick={(event) => {
            event.stopPropagation();
            if (offersClaim) onClaim(request.id);
            else onOpen(request.id);
          }}
        >
          {offersClaim ? worklist.claim : worklist.openCase}
        </Button>
      </td>
    </tr>
  );
});

const missingNamed = 3;

/**
 * What stands in the way of this case, in words: what the requesting site has not told, the first fields by name, and
 * images held aside with their number, as no other count has them.
 */
export function warningsOf(request: ReadingRequestSummary, context: readonly FieldDefinition[], strings: Strings): string[] {
  const { worklist: words } = strings;
  // An uncertain name has its mark beside it.
  const texts = request.warnings.filter((code) => code !== 'name_uncertain').map((code) => (code === 'patient_mismatch_held' ? words.held(request.arrival.held) : (words.warning[code] ?? code)));
  // A missing number is a warning of its own.
  const missing = missingLabels(request.missing_context.filter((id) => id !== callbackNumberId), context, strings);
  if (missing.length === 0) return texts;
  return [words.contextMissing(strings.list(missing.slice(0, missingNamed)), Math.max(0, missing.length - missingNamed)), ...texts];
}

function Warnings({ request, context }: { request: ReadingRequestSummary; context: readonly FieldDefinition[] }) {
  const strings = useStrings();
  const { worklist } = strings;
  const warnings = warningsOf(request, context, strings);
  if (warnings.length === 0) return null;
  return (
    <div className="mt-1 flex flex-wrap gap-1">
      {warnings.map((warning) => (
        <Badge key={warning} sentence tone={warning === worklist.held(request.arrival.held) ? 'red' : 'orange'}>
          <span aria-hidden className="mr-1 font-bold">
            !
          </span>
          {warning}
        </Badge>
      ))}
    </div>
  );
}
