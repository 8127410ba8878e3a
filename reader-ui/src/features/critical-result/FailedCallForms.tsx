import { zodResolver } from '@hookform/resolvers/zod';
import { useForm } from 'react-hook-form';
import { z } from 'zod';
import { escalateCall, recordAlternativeDelivery } from '../../api/client.ts';
import type { Call } from '../../api/types.ts';
import { serverNow } from '../../lib/server-clock.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
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
export function FailedCallForms({ call, disabled, onChanged, onFailure }: Props) {
  const { call: words } = useStrings();
  return (
    <div className="flex flex-col gap-3">
      <p className="text-xs text-muted">{words.failedRule}</p>
      {call.escalation ? <Done title={words.escalation} text={`${call.escalation.who} — ${call.escalation.why}`} /> : <EscalationForm call={call} disabled={disabled} onChanged={onChanged} onFailure={onFailure} />}
      {call.alternative_delivery ? (
        <Done title={words.alternative} text={`${call.alternative_delivery.to} — ${call.alternative_delivery.receipt_text}`} />
      ) : (
        <DeliveryForm call={call} disabled={disabled || !call.escalation} onChanged={onChanged} onFailure={onFailure} />
      )}
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
