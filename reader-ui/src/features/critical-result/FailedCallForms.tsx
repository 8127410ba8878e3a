import { zodResolver } from '@hookform/resolvers/zod';
import { useForm } from 'react-hook-form';
import { z } from 'zod';
import { useState } from 'react';
import { escalateCall, recordAlternativeDelivery } from '../../api/client.ts';
import type { Call } from '../../api/types.ts';
import { dateTime } from '../../lib/dates.ts';
import { serverNow } from '../../lib/server-clock.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { attemptsMin, deliveredBefore, distinctMin, failureFacts } from './failure-facts.ts';
import { calleeRoles, deliveryKinds } from './vocabulary.ts';

const escalationSchema = z.object({ who: z.string().trim().min(1), role: z.string().min(1), why: z.string().trim().min(1) });
const deliverySchema = z.object({ kind: z.enum(deliveryKinds), to: z.string().trim().min(1), receipt_text: z.string().trim().min(1) });

interface Props {
  call: Call;
  disabled: boolean;
  onChanged(call: Call): unknown;
  onFailure(error: unknown): void;
}

/** What stands in for a read-back when nobody can be reached: who was told instead, and how the finding got there. */
export function FailedCallForms({ call, calls, disabled, onChanged, onFailure }: Props & { calls: readonly Call[] }) {
  const { call: words } = useStrings();
  const earlier = call.alternative_delivery === null ? deliveredBefore(calls, call) : null;
  return (
    <div className="flex flex-col gap-3">
      <FailureRule calls={calls} />
      {earlier && <Reuse call={call} earlier={earlier} disabled={disabled} onChanged={onChanged} onFailure={onFailure} />}
      {call.escalation ? <Done title={words.escalation} text={`${call.escalation.who} — ${call.escalation.why}`} /> : <EscalationForm call={call} disabled={disabled} onChanged={onChanged} onFailure={onFailure} />}
      {call.alternative_delivery ? (
        <Done title={words.alternative} text={`${call.alternative_delivery.to} — ${call.alternative_delivery.receipt_text}`} />
      ) : (
        <DeliveryForm call={call} disabled={disabled || !call.escalation} onChanged={onChanged} onFailure={onFailure} />
      )}
    </div>
  );
}

/** The four conditions, and which of them hold. */
function FailureRule({ calls }: { calls: readonly Call[] }) {
  const { call: words } = useStrings();
  const facts = failureFacts(calls);
  const conditions: [boolean, string][] = [
    [facts.attempts >= attemptsMin, words.failedAttempts(attemptsMin, facts.attempts)],
    [facts.distinct >= distinctMin, words.failedDistinct(distinctMin, facts.distinct)],
    [facts.escalated, words.failedEscalated],
    [facts.delivered, words.failedDelivered],
  ];
  return (
    <div className="rounded-md border border-line px-3 py-2 text-sm">
      <p className="text-xs text-muted">{words.failedRule}</p>
      <ul className="mt-1">
        {conditions.map(([holds, text]) => (
          <li key={text} className={holds ? 'text-green' : 'text-orange'}>
            <span aria-hidden>{holds ? '✓' : '□'}</span> {text}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Takes over what an earlier record of the case has: who was told, and the delivery with its own times and receipt. */
function Reuse({ call, earlier, disabled, onChanged, onFailure }: Props & { earlier: Call }) {
  const { call: words, language } = useStrings();
  const [busy, setBusy] = useState(false);
  const { escalation, alternative_delivery: delivery } = earlier;
  if (!escalation || !delivery) return null;
  const reuse = async () => {
    setBusy(true);
    onFailure(null);
    try {
      const { who, role, why, at_ms: atMs } = escalation;
      if (!call.escalation) onChanged(await escalateCall(call.id, { who, role, why: words.reusedFrom(why, dateTime(atMs ?? earlier.recorded_at_ms, language)) }));
      const { kind, to, sent_at_ms, receipt_text, receipt_at_ms: receiptAtMs } = delivery;
      onChanged(await recordAlternativeDelivery(call.id, { kind, to, sent_at_ms, receipt_text, receipt_at_ms: receiptAtMs ?? sent_at_ms }));
    } catch (error) {
      onFailure(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="flex flex-col items-start gap-2 rounded-md border border-accent-deep px-3 py-2 text-sm">
      <bdi>{words.reuseWhy(escalation.who, delivery.to)}</bdi>
      <Button disabled={disabled || busy} onClick={() => void reuse()}>
        {words.reuse}
      </Button>
    </div>
  );
}

function Done({ title, text }: { title: string; text: string }) {
  return (
    <p className="rounded-md border border-line px-3 py-2 text-sm">
      <span className="text-green">✓ {title}</span> <bdi>{text}</bdi>
    </p>
  );
}

function EscalationForm({ call, disabled, onChanged, onFailure }: Props) {
  const strings = useStrings();
  const { call: words, admin } = strings;
  const form = useForm({ resolver: zodResolver(escalationSchema), defaultValues: { who: '', role: 'on_call', why: '' } });
  const { errors } = form.formState;
  const submit = form.handleSubmit((values) => escalateCall(call.id, values).then(onChanged, onFailure));
  return (
    <form onSubmit={submit} className="flex flex-col gap-2 rounded-md border border-line-strong p-3" noValidate>
      <h4 className="text-sm font-semibold">{words.escalation}</h4>
      <Labelled label={words.escalationWho} error={errors.who && admin.needed}>
        {(props) => <input {...props} {...form.register('who')} autoComplete="off" className="field" />}
      </Labelled>
      <Labelled label={words.escalationRole}>
        {(props) => (
          <select {...props} {...form.register('role')} className="field">
            {calleeRoles.map((code) => (
              <option key={code} value={code}>
                {strings.code(code)}
              </option>
            ))}
          </select>
        )}
      </Labelled>
      <Labelled label={words.escalationWhy} error={errors.why && admin.needed}>
        {(props) => <input {...props} {...form.register('why')} autoComplete="off" className="field" />}
      </Labelled>
      <Button type="submit" disabled={disabled} className="w-fit">
        {words.recordEscalation}
      </Button>
    </form>
  );
}

function DeliveryForm({ call, disabled, onChanged, onFailure }: Props) {
  const strings = useStrings();
  const { call: words, admin } = strings;
  const form = useForm({ resolver: zodResolver(deliverySchema), defaultValues: { kind: 'fax' as const, to: '', receipt_text: '' } });
  const { errors } = form.formState;
  const submit = form.handleSubmit((values) => {
    const now = serverNow();
    return recordAlternativeDelivery(call.id, { ...values, sent_at_ms: now, receipt_at_ms: now }).then(onChanged, onFailure);
  });
  return (
    <form onSubmit={submit} className="flex flex-col gap-2 rounded-md border border-line-strong p-3" noValidate>
      <h4 className="text-sm font-semibold">{words.alternative}</h4>
      <Labelled label={words.channel}>
        {(props) => (
          <select {...props} {...form.register('kind')} disabled={disabled} className="field">
            {deliveryKinds.map((code) => (
              <option key={code} value={code}>
                {strings.code(code)}
              </option>
            ))}
          </select>
        )}
      </Labelled>
      <Labelled label={words.alternativeTo} error={errors.to && admin.needed}>
        {(props) => <input {...props} {...form.register('to')} disabled={disabled} autoComplete="off" className="field" />}
      </Labelled>
      <Labelled label={words.alternativeReceipt} error={errors.receipt_text && admin.needed}>
        {(props) => <input {...props} {...form.register('receipt_text')} disabled={disabled} autoComplete="off" className="field" />}
      </Labelled>
      <Button type="submit" disabled={disabled} className="w-fit">
        {words.recordAlternative}
      </Button>
    </form>
  );
}
