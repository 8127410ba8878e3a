import { useState } from 'react';
import { closeCall } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import type { Call, ReadingRequestDetail, ViewedImage } from '../../api/types.ts';
import { clock, timeOfDay } from '../../lib/dates.ts';
import { useServerTime } from '../../lib/use-tick.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { useTemplates } from '../fields/templates.ts';
import { AttemptList } from './AttemptList.tsx';
import { ContactList } from './ContactList.tsx';
import { ConversationConflict } from './ConversationConflict.tsx';
import { ConversationForm } from './ConversationForm.tsx';
import { FailedCallForms } from './FailedCallForms.tsx';
import { hasConnected, runningAttempt } from './call-facts.ts';
import type { ConversationBook } from './use-conversations.ts';
import { useConversation } from './use-conversations.ts';

interface Props {
  call: Call;
  request: ReadingRequestDetail;
  book: ConversationBook;
  disabled: boolean;
  currentImage(): ViewedImage | null;
  onChanged(call: Call): unknown;
  onFailure(error: unknown): void;
}

/** One open call, top to bottom in the order it happens: dial, outcome, conversation, close. */
export function CallEditor({ call, request, book, disabled, currentImage, onChanged, onFailure }: Props) {
  const strings = useStrings();
  const { call: words } = strings;
  const [missing, setMissing] = useState<string[]>([]);
  const [closing, setClosing] = useState(false);
  const [commandId] = useState(() => crypto.randomUUID());
  const conversation = useConversation(book, call);
  const connected = hasConnected(call);
  const running = runningAttempt(call);
  const failedOnly = call.attempts.length > 0 && !connected && !running;

  const close = async () => {
    setClosing(true);
    setMissing([]);
    onFailure(null);
    try {
      if (connected && !(await conversation.saver.flush())) return;
      onChanged(await closeCall(call.id, commandId));
    } catch (error) {
      setMissing(missingOf(error));
      onFailure(error);
    } finally {
      setClosing(false);
    }
  };

  return (
    <section aria-label={words.title} className="flex flex-col gap-4">
      <div className="flex items-center gap-2">
        <Badge tone={connected ? 'green' : 'accent'}>{strings.code(call.state)}</Badge>
        <CallClock call={call} />
        <span className="ml-auto text-xs text-muted">
          {conversation.state.status === 'saving' && words.saving}
          {conversation.state.status === 'conflict' && words.conflictTitle}
          {conversation.state.status === 'failed' && (
            <span role="alert" className="font-semibold text-red">
              {words.saveFailed}
            </span>
          )}
          {conversation.state.status === 'saved' && conversation.state.savedAtMs !== null && words.saved(timeOfDay(conversation.state.savedAtMs, strings.language))}
        </span>
      </div>
      {!connected && <ContactList call={call} request={request} disabled={disabled || running !== null} onChanged={onChanged} onFailure={onFailure} />}
      <AttemptList call={call} disabled={disabled} onChanged={onChanged} onFailure={onFailure} />
      {Object.keys(conversation.state.theirs).length > 0 && <ConversationConflict handle={conversation} />}
      {connected && <ConversationForm request={request} handle={conversation} disabled={disabled} currentImage={currentImage} />}
      {failedOnly && <FailedCallForms call={call} disabled={disabled} onChanged={onChanged} onFailure={onFailure} />}
      {missing.length > 0 && (
        <Banner tone="warning">
          {words.missing}: <MissingNames ids={missing} />
        </Banner>
      )}
      {call.attempts.length > 0 && !running && (
        <div className="flex flex-col gap-1.5 border-t border-line pt-3">
          <Button kind="primary" disabled={disabled || closing} onClick={() => void close()} className="min-h-10">
            {words.close}
          </Button>
          <p className="text-xs text-muted">{words.closeWarning}</p>
        </div>
      )}
    </section>
  );
}

function CallClock({ call }: { call: Call }) {
  const { call: words } = useStrings();
  const now = useServerTime();
  const since = call.attempts.find(({ outcome }) => outcome === 'connected')?.started_at_ms ?? call.started_at_ms;
  return (
    <span className="font-mono text-sm text-soft" title={words.duration}>
      {clock(Math.max(0, now - since))}
    </span>
  );
}

/** The relay lists what is missing under one of these members. */
function missingOf(error: unknown): string[] {
  if (!(error instanceof Problem)) return [];
  for (const member of ['missing', 'missing_fields', 'fields', 'problems', 'errors']) {
    const value = error.body[member];
    if (!Array.isArray(value)) continue;
    return value.map((entry) => (typeof entry === 'string' ? entry : String((entry as { field?: unknown } | null)?.field ?? ''))).filter(Boolean);
  }
  return [];
}

function MissingNames({ ids }: { ids: readonly string[] }) {
  const strings = useStrings();
  const { call: words } = strings;
  const { stateTold } = useTemplates();
  const names: Record<string, string> = {
    parties: words.calleeName,
    identity_confirmed: words.identityConfirmed,
    patient_identified_by: words.patientBy,
    state_told: words.stateTold,
    state_assessed_at: words.assessedAt,
    state_assessed_at_ms: words.assessedAt,
    images_viewed: words.imagesViewed,
    findings_conveyed: words.findingsConveyed,
    agreed_plan: words.agreedPlan,
    readback_text: words.readbackText,
    readback_ok: words.readbackOk,
    uncertainty: words.uncertainty,
    family_informed: words.familyInformed,
    next_contact_at: words.nextContact,
    next_contact_at_ms: words.nextContact,
  };
  const text = ids.map((id) => names[id] ?? stateTold.find((field) => field.id === id.split('.').at(-1))?.label[strings.language] ?? id);
  return <>{[...new Set(text)].join('、')}</>;
}
