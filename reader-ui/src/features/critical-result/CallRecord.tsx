import { useState } from 'react';
import { addCallAddendum } from '../../api/client.ts';
import type { Call } from '../../api/types.ts';
import { dateTime, timeOfDay } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Button } from '../../ui/Button.tsx';
import { Fact } from '../../ui/Fact.tsx';
import { FieldFacts, safeLines } from '../fields/FieldFacts.tsx';
import { useTemplates } from '../fields/templates.ts';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { readConversation } from './conversation-form.ts';
import { AttemptLine } from './AttemptList.tsx';
import { callSpan, isClosed } from './call-facts.ts';
import { conversationFacts } from './conversation-facts.ts';
import type { Field } from './merge-conversation.ts';

interface Props {
  call: Call;
  canAdd: boolean;
  onChanged?: (call: Call) => unknown;
}

const shownAbove: ReadonlySet<Field> = new Set<Field>(['parties', 'readback_ok']);

/** A call, as a third doctor must be able to read it: one that is closed never changes, corrections are added below; one still open is another reader's. */
export function CallRecord({ call, canAdd, onChanged }: Props) {
  const strings = useStrings();
  const { call: words, language } = strings;
  const { stateTold, dispositions } = useTemplates();
  const said = call.conversation ? readConversation(call.conversation) : null;
  const facts = said ? conversationFacts(said, strings, dispositions).filter(({ field, text }) => text !== '' && !shownAbove.has(field)) : [];
  const span = callSpan(call);
  return (
    <section aria-label={words.title} className="flex flex-col gap-3 rounded-md border border-line-strong p-3">
      <div className="flex flex-wrap items-center gap-2">
        <Badge tone={call.state === 'closed' ? 'green' : 'orange'}>{strings.code(call.state)}</Badge>
        {said?.readback_ok === true && <Badge tone="green">✓ {strings.code('readback_ok')}</Badge>}
        {said?.readback_ok === false && <Badge tone="red">! {strings.code('readback_mismatch')}</Badge>}
        <span className="text-sm">
          <span className="text-xs text-muted">{words.span[span.kind]}</span> {timeOfDay(span.fromMs, language)}
          {span.toMs !== null && `–${timeOfDay(span.toMs, language)}`}
        </span>
        <span className="ml-auto text-xs text-muted">{words.versionAtCall(call.report_version_at_call)}</span>
      </div>
      {said && said.parties.length > 0 && (
        <p className="text-sm">
          {said.parties.map((party) => (
            <span key={`${party.name}${party.role}`} className="mr-4">
              <bdi className="font-semibold">{party.name}</bdi>{' '}
              <span className="text-xs text-muted">
                {strings.code(party.role)} <bdi>{party.facility}</bdi>
              </span>
            </span>
          ))}
        </p>
      )}
      {call.attempts.map((attempt) => (
        <AttemptLine key={attempt.attempt_no} attempt={attempt} />
      ))}
      {said && <FieldFacts answeredOnly fields={stateTold} values={said.state_told} />}
      <dl className="flex flex-col gap-2">
        {facts.map(({ field, label, text }) => (
          <Fact key={field} label={label}>
            <bdi className="whitespace-pre-wrap">{safeLines(text)}</bdi>
          </Fact>
        ))}
        {call.escalation && <Fact label={words.escalation}>{`${call.escalation.who} — ${call.escalation.why}`}</Fact>}
        {call.alternative_delivery && <Fact label={words.alternative}>{`${strings.code(call.alternative_delivery.kind)} ${call.alternative_delivery.to} — ${call.alternative_delivery.receipt_text}`}</Fact>}
      </dl>
      {call.addenda.map((addendum, index) => (
        // Addenda are only ever appended.
        // oxlint-disable-next-line react/no-array-index-key
        <p key={index} className="border-l-2 border-orange pl-3 text-sm whitespace-pre-wrap">
          <span className="text-xs text-orange">{words.addendum}</span> {safeLines(addendum.text)}
        </p>
      ))}
      <p className="text-xs text-muted">
        {words.recordedBy(call.recorded_by.name, dateTime(call.recorded_at_ms, language))} {isClosed(call) && words.closed}
      </p>
      {canAdd && onChanged && <CallAddendumForm call={call} onChanged={onChanged} />}
    </section>
  );
}

function CallAddendumForm({ call, onChanged }: { call: Call; onChanged(call: Call): void }) {
  const { call: words } = useStrings();
  const [text, setText] = useState('');
  const [fields, setFields] = useState('');
  const [problem, setProblem] = useState<unknown>(null);
  const submit = async () => {
    setProblem(null);
    try {
      onChanged(await addCallAddendum(call.id, text.trim(), fields.split(/[,、\s]+/).filter(Boolean)));
      setText('');
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <details>
      <summary className="w-fit text-xs text-soft">{words.addendum}</summary>
      <div className="mt-2 flex flex-col gap-2">
        <textarea rows={2} aria-label={words.addendumText} placeholder={words.addendumText} value={text} onChange={(event) => setText(event.target.value)} className="field" />
        <input aria-label={words.corrects} placeholder={words.corrects} value={fields} onChange={(event) => setFields(event.target.value)} className="field" />
        <ProblemBanner error={problem} />
        <Button small disabled={text.trim() === ''} onClick={() => void submit()} className="w-fit">
          {words.addendum}
        </Button>
      </div>
    </details>
  );
}
