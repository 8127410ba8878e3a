import { useState } from 'react';
import { endAttempt } from '../../api/client.ts';
import type { Call, CallAttempt } from '../../api/types.ts';
import { clock, timeOfDay } from '../../lib/dates.ts';
import { useServerTime } from '../../lib/use-tick.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Button } from '../../ui/Button.tsx';
import { Choice } from '../../ui/Choice.tsx';
import { callOutcomes, failureReasons, nextActions } from './vocabulary.ts';

/** Why nobody was reached, where the outcome says it already. */
const reasonThatFollows: Record<string, string> = {
  no_answer: 'recipient-unavailable',
  busy: 'recipient-unavailable',
  left_message: 'recipient-unavailable',
  unreachable_number: 'invalid-phone-number',
};

interface Props {
  call: Call;
  disabled: boolean;
  onChanged(call: Call): unknown;
  onFailure(error: unknown): void;
}

/** Every dial, also the ones nobody answered: they are the proof that someone tried. */
export function AttemptList({ call, disabled, onChanged, onFailure }: Props) {
  const strings = useStrings();
  if (call.attempts.length === 0) return null;
  return (
    <section aria-label={strings.call.attempts} className="flex flex-col gap-2">
      <h3 className="text-xs text-soft">{strings.call.attempts}</h3>
      {call.attempts.map((attempt) =>
        attempt.outcome === null ? (
          <RunningAttempt key={attempt.attempt_no} call={call} attempt={attempt} disabled={disabled} onChanged={onChanged} onFailure={onFailure} />
        ) : (
          <AttemptLine key={attempt.attempt_no} attempt={attempt} />
        ),
      )}
    </section>
  );
}

export function AttemptLine({ attempt }: { attempt: CallAttempt }) {
  const strings = useStrings();
  const { language } = strings;
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1 rounded-md border border-line px-3 py-1.5 text-sm">
      <span className="text-muted">{strings.call.attemptNo(attempt.attempt_no)}</span>
      <span className="font-mono">
        {timeOfDay(attempt.started_at_ms, language)}
        {attempt.ended_at_ms !== null && ` → ${timeOfDay(attempt.ended_at_ms, language)}`}
      </span>
      <bdi className="font-mono">{attempt.number_dialed}</bdi>
      <bdi>{attempt.callee_name ?? ''}</bdi>
      <span className="text-xs text-muted">{strings.code(attempt.callee_role)}</span>
      <Badge tone={attempt.outcome === 'connected' ? 'green' : 'orange'}>{strings.code(attempt.outcome ?? '')}</Badge>
      {attempt.failure_reason && <span className="text-xs text-muted">{strings.code(attempt.failure_reason)}</span>}
      {attempt.next_action && <span className="text-xs text-muted">→ {strings.code(attempt.next_action)}</span>}
    </div>
  );
}

function RunningAttempt({ call, attempt, disabled, onChanged, onFailure }: Props & { attempt: CallAttempt }) {
  const strings = useStrings();
  const { call: words } = strings;
  const now = useServerTime();
  const [outcome, setOutcome] = useState<string | null>(null);
  const [reason, setReason] = useState<string | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const choose = (code: string) => {
    setOutcome(code);
    setReason(reasonThatFollows[code] ?? null);
  };
  const record = (chosen: string) => {
    onFailure(null);
    const failed = chosen !== 'connected';
    endAttempt(call.id, attempt.attempt_no, {
      outcome: chosen,
      ...(failed && reason ? { failure_reason: reason } : {}),
      ...(failed && next ? { next_action: next } : {}),
    }).then(onChanged, onFailure);
  };
  const options = (codes: readonly string[]) => codes.map((code) => ({ code, label: strings.code(code) }));
  return (
    <div className="flex flex-col gap-3 rounded-md border-2 border-accent-deep bg-void p-3">
      <div className="flex items-center gap-3">
        <span aria-hidden className="size-2.5 animate-pulse rounded-full bg-accent" />
        <span className="text-sm">{words.ringing}</span>
        <bdi className="font-mono text-base">{attempt.number_dialed}</bdi>
        <span className="ml-auto font-mono text-lg font-semibold">{clock(Math.max(0, now - attempt.started_at_ms))}</span>
      </div>
      <div>
        <div className="mb-1 text-xs text-soft">{words.outcome}</div>
        <div className="flex flex-wrap gap-1">
          <Button kind="primary" disabled={disabled} onClick={() => record('connected')}>
            {strings.code('connected')}
          </Button>
          {callOutcomes
            .filter((code) => code !== 'connected')
            .map((code) => (
              <Button key={code} disabled={disabled} aria-pressed={outcome === code} kind={outcome === code ? 'danger' : 'plain'} onClick={() => choose(code)}>
                {strings.code(code)}
              </Button>
            ))}
        </div>
      </div>
      {outcome && (
        <>
          <div>
            <div className="mb-1 text-xs text-soft">{words.failureReason}</div>
            <Choice label={words.failureReason} options={options(failureReasons)} value={reason} onChange={setReason} />
          </div>
          <div>
            <div className="mb-1 text-xs text-soft">{words.nextAction}</div>
            <Choice label={words.nextAction} options={options(nextActions)} value={next} onChange={setNext} />
          </div>
          <Button kind="primary" disabled={disabled || !reason || !next} onClick={() => record(outcome)} className="w-fit">
            {strings.common.save}
          </Button>
        </>
      )}
    </div>
  );
}
