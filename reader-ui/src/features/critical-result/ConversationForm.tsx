import { useMemo } from 'react';
import type { ReactNode } from 'react';
import type { Conversation, FieldDefinition, FieldValue, ReadingRequestDetail, ViewedImage } from '../../api/types.ts';
import { fromLocalInput, studyTime, toLocalInput } from '../../lib/dates.ts';
import { personName } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Choice, Choices } from '../../ui/Choice.tsx';
import { Labelled, RequiredMark } from '../../ui/Labelled.tsx';
import { FieldForm } from '../fields/FieldForm.tsx';
import { useTemplates } from '../fields/templates.ts';
import { useSession } from '../session/session-context.ts';
import { birthLine } from '../worklist/order.ts';
import { calleeRoles, familyInformed, patientIdentifiers } from './vocabulary.ts';
import type { ConversationHandle } from './use-conversations.ts';

interface Props {
  request: ReadingRequestDetail;
  handle: ConversationHandle;
  /** What the relay says has to be there before the record can be closed; nothing else is marked. */
  missing: readonly string[];
  disabled: boolean;
  currentImage(): ViewedImage | null;
}

/** What was said, in SBAR order, so that the form can be read aloud while it is filled in. */
export function ConversationForm({ request, handle, missing, disabled, currentImage }: Props) {
  const strings = useStrings();
  const { call: words, common } = strings;
  const { stateTold, dispositions } = useTemplates();
  const listFields = useListFields();
  const { conversation: now } = handle.state;
  const set = (patch: Partial<Conversation>) => handle.saver.update(patch);
  const needed = (id: string) => (missing.includes(id) ? common.required : undefined);
  const text = (key: 'findings_conveyed' | 'readback_text' | 'uncertainty' | 'late_entry_reason', label: string) => (
    <Labelled label={label} required={needed(key)}>
      {(props) => <textarea {...props} rows={2} disabled={disabled} value={now[key] ?? ''} onChange={(event) => set({ [key]: event.target.value })} className="field" />}
    </Labelled>
  );
  const yesNo = [
    { code: 'true', label: common.yes },
    { code: 'false', label: common.no },
  ];
  return (
    <div className="flex flex-col gap-5">
      <Part title={words.situation}>
        <ReadAloud request={request} />
        <PartyFields missing={missing} request={request} now={now} disabled={disabled} set={set} />
        <label className="flex items-center gap-2 text-sm">
          <input type="checkbox" checked={now.identity_confirmed !== null && now.identity_confirmed !== 'not_confirmed'} disabled={disabled} onChange={(event) => set({ identity_confirmed: event.target.checked ? 'registered_number' : null })} className="size-4 accent-[var(--color-accent)]" />
          {words.identityConfirmed}
          <RequiredMark text={needed('identity_confirmed')} />
        </label>
        <div>
          <div className="mb-1 text-xs text-soft">
            {words.patientBy}
            <RequiredMark text={needed('patient_identified_by')} />
          </div>
          <Choices
            label={words.patientBy}
            options={patientIdentifiers.map((code) => ({ code, label: words.patientByOptions[code] ?? code }))}
            values={now.patient_identified_by}
            disabled={disabled}
            onChange={(values) => set({ patient_identified_by: values })}
          />
        </div>
      </Part>
      <Part title={words.background}>
        <Labelled label={words.assessedAt} required={needed('state_assessed_at_ms')}>
          {(props) => (
            <input {...props} type="datetime-local" disabled={disabled} value={toLocalInput(now.state_assessed_at_ms)} onChange={(event) => set({ state_assessed_at_ms: fromLocalInput(event.target.value) })} className="field !w-56" />
          )}
        </Labelled>
        <p className="text-xs text-soft">
          {words.stateTold}
          <RequiredMark text={needed('state_told')} />
        </p>
        <FieldForm fields={stateTold} values={now.state_told} context={request.clinical_context} disabled={disabled} onChange={(values) => set({ state_told: values })} />
      </Part>
      <Part title={words.assessment}>
        <ViewedImages required={needed('images_viewed')} now={now} disabled={disabled} set={set} currentImage={currentImage} />
        {text('findings_conveyed', words.findingsConveyed)}
        <FieldForm fields={listFields.questions} values={{ questions_answers: now.questions_answers }} disabled={disabled} onChange={(values) => set({ questions_answers: asRows<{ q: string; a: string }>(values.questions_answers) })} />
      </Part>
      <Part title={words.recommendation}>
        <div>
          <div className="mb-1 text-xs text-soft">{words.planKinds}</div>
          <Choices
            label={words.planKinds}
            options={dispositions.map(({ id, label }) => ({ code: id, label: label[strings.language] }))}
            values={now.agreed_plan.dispositions}
            disabled={disabled}
            onChange={(codes) => set({ agreed_plan: { ...now.agreed_plan, dispositions: codes } })}
          />
        </div>
        <Labelled label={words.agreedPlan} required={needed('agreed_plan')}>
          {(props) => <textarea {...props} rows={2} disabled={disabled} value={now.agreed_plan.text} onChange={(event) => set({ agreed_plan: { ...now.agreed_plan, text: event.target.value } })} className="field" />}
        </Labelled>
        {text('readback_text', words.readbackText)}
        <div>
          <div className="mb-1 text-xs text-soft">
            {words.readbackOk}
            <RequiredMark text={needed('readback_ok')} />
          </div>
          <Choice
            label={words.readbackOk}
            options={yesNo}
            value={now.readback_ok === null ? null : String(now.readback_ok)}
            disabled={disabled}
            onChange={(value) => set({ readback_ok: value === null ? null : value === 'true' })}
          />
        </div>
        {text('uncertainty', words.uncertainty)}
        <FieldForm fields={listFields.others} values={{ others_informed: now.others_informed }} disabled={disabled} onChange={(values) => set({ others_informed: asRows<{ name: string }>(values.others_informed) })} />
        <div>
          <div className="mb-1 text-xs text-soft">
            {words.familyInformed}
            <RequiredMark text={needed('family_informed')} />
          </div>
          <Choice
            label={words.familyInformed}
            options={familyInformed.map((code) => ({ code, label: strings.code(code) }))}
            value={now.family_informed?.state ?? null}
            disabled={disabled}
            onChange={(state) => set({ family_informed: state === null ? null : { state } })}
          />
          {now.family_informed?.state === 'done' && (
            <input
              aria-label={words.familyBy}
              placeholder={words.familyBy}
              autoComplete="off"
              disabled={disabled}
              value={now.family_informed.by ?? ''}
              onChange={(event) => set({ family_informed: { state: 'done', by: event.target.value } })}
              className="field mt-1.5"
            />
          )}
        </div>
        <Labelled label={words.nextContact} required={needed('next_contact_at_ms')}>
          {(props) => (
            <input {...props} type="datetime-local" disabled={disabled} value={toLocalInput(now.next_contact_at_ms)} onChange={(event) => set({ next_contact_at_ms: fromLocalInput(event.target.value) })} className="field !w-56" />
          )}
        </Labelled>
        {(needed('late_entry_reason') || now.late_entry_reason !== null) && text('late_entry_reason', words.lateReason)}
      </Part>
    </div>
  );
}

function asRows<Row>(value: FieldValue | undefined): Row[] {
  return Array.isArray(value) ? (value as Row[]) : [];
}

/** The two lists of a conversation, in the shape the field form draws. */
function useListFields() {
  const { call: words, admin, language } = useStrings();
  const one = (id: string, label: string): FieldDefinition => ({ id, label: { ja: label, en: label }, type: 'text', required: 'optional' });
  const list = (id: string, label: string, fields: FieldDefinition[]): FieldDefinition[] => [{ ...one(id, label), type: 'list', group_fields: fields }];
  // oxlint-disable-next-line react-hooks/exhaustive-deps -- the words change with the language only
  return useMemo(
    () => ({
      questions: list('questions_answers', words.questions, [one('q', words.question), one('a', words.answer)]),
      others: list('others_informed', words.othersInformed, [one('name', admin.personName), one('role', admin.role), one('facility', words.facility), one('method', words.method)]),
    }),
    [language],
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title} className="flex flex-col gap-3">
      <h3 className="border-b border-line pb-1 text-sm font-semibold text-accent">{title}</h3>
      {children}
    </section>
  );
}

/** The sentence a caller reads out first: two identifiers, the study time, the case code. */
function ReadAloud({ request }: { request: ReadingRequestDetail }) {
  const strings = useStrings();
  const { patient, study } = request;
  const name = personName(patient.name.phonetic) || personName(patient.name.ideographic) || personName(patient.name.alphabetic);
  const parts = [name, patient.name_uncertain ? strings.patient.nameUncertain : '', birthLine(patient, strings), studyTime(study.study_date, study.study_time), `${strings.patient.caseCode} ${request.case_code}`];
  return (
    <p className="rounded-md bg-raised px-3 py-2 text-sm">
      <span className="mr-2 text-xs text-muted">{strings.call.readAloud}</span>
      {parts.filter(Boolean).map((part) => (
        <bdi key={part} className="mr-3 font-semibold">
          {part}
        </bdi>
      ))}
    </p>
  );
}

interface PartProps {
  now: Conversation;
  disabled: boolean;
  set(patch: Partial<Conversation>): void;
}

/** The reader is one party; this is the other one. */
function PartyFields({ missing, request, now, disabled, set }: PartProps & { missing: readonly string[]; request: ReadingRequestDetail }) {
  const strings = useStrings();
  const { call: words, common } = strings;
  const { user } = useSession().session;
  const other = now.parties.find(({ user_id }) => user_id !== user.id) ?? { name: '', facility: request.requesting_site.name, role: '' };
  const needed = missing.includes('parties');
  const change = (patch: { name?: string; role?: string }) => {
    const self = { name: user.name, facility: user.site.name, role: user.role, user_id: user.id };
    set({ parties: [self, { ...other, ...patch }] });
  };
  return (
    <div className="grid grid-cols-2 gap-3">
      <Labelled label={words.calleeName} required={needed && other.name === '' ? common.required : undefined}>
        {(props) => <input {...props} autoComplete="off" disabled={disabled} value={other.name} onChange={(event) => change({ name: event.target.value })} className="field" />}
      </Labelled>
      <Labelled label={words.calleeRole} required={needed && other.role === '' ? common.required : undefined}>
        {(props) => (
          <select {...props} disabled={disabled} value={other.role} onChange={(event) => change({ role: event.target.value })} className="field">
            <option value="">{common.choose}</option>
            {calleeRoles.map((code) => (
              <option key={code} value={code}>
                {strings.code(code)}
              </option>
            ))}
          </select>
        )}
      </Labelled>
    </div>
  );
}

function ViewedImages({ required, now, disabled, set, currentImage }: PartProps & { required: string | undefined; currentImage(): ViewedImage | null }) {
  const { call: words, common } = useStrings();
  const { images_viewed: images } = now;
  const add = () => {
    const image = currentImage();
    if (!image || images.some((old) => old.sop_instance_uid === image.sop_instance_uid && old.frame === image.frame)) return;
    set({ images_viewed: [...images, image], images_not_viewed_reason: null });
  };
  return (
    <div className="flex flex-col gap-2">
      <div className="flex flex-wrap items-center gap-2">
        <span className="text-xs text-soft">
          {words.imagesViewed}
          <RequiredMark text={required} />
        </span>
        {images.map((image, index) => (
          <span key={`${image.sop_instance_uid}/${image.frame}`} className="inline-flex items-center gap-1 rounded border border-line-strong bg-void px-2 py-0.5 text-xs">
            {index + 1}
            <label className="flex items-center gap-1">
              <input
                type="checkbox"
                checked={image.both_viewing}
                disabled={disabled}
                onChange={(event) => set({ images_viewed: images.map((old, at) => (at === index ? { ...old, both_viewing: event.target.checked } : old)) })}
                className="accent-[var(--color-accent)]"
              />
              {words.bothViewing}
            </label>
            <button type="button" disabled={disabled} aria-label={common.remove} onClick={() => set({ images_viewed: images.filter((_, at) => at !== index) })} className="px-1 text-muted hover:text-text">
              ×
            </button>
          </span>
        ))}
        <Button small disabled={disabled} onClick={add}>
          + {words.addViewed}
        </Button>
      </div>
      {images.length === 0 && (
        <Labelled label={words.notViewed}>
          {(props) => (
            <input {...props} autoComplete="off" disabled={disabled} value={now.images_not_viewed_reason ?? ''} onChange={(event) => set({ images_not_viewed_reason: event.target.value || null })} className="field" />
          )}
        </Labelled>
      )}
    </div>
  );
}
