import { useEffect, useState } from 'react';
import { closeCall } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import type { Call, ReadingRequestDetail, ViewedImage } from '../../api/types.ts';
import { clock, timeOfDay } from '../../lib/dates.ts';
import { useServerTime } from '../../lib/use-tick.ts';
import type { Strings } from '../../strings/ja.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { problemText } from '../session/problem-text.ts';
import { useTemplates } from '../fields/templates.ts';
import { AttemptList } from './AttemptList.tsx';
import { ContactList } from './ContactList.tsx';
import { ConversationConflict } from './ConversationConflict.tsx';
import { ConversationForm } from './ConversationForm.tsx';
import { FailedCallForms } from './FailedCallForms.tsx';
import { missingName } from './conversation-facts.ts';
import { callClockSinceMs, hasConnected, runningAttempt } from './call-facts.ts';
import { attemptsMin, distinctMin, failureFacts } from './failure-facts.ts';
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
  /** Closing was refused because the conversation lacks something. */
  const [incomplete, setIncomplete] = useState(false);
  /** What the refusal named, until the relay's newer list is here. */
  const [named, setNamed] = useState<readonly string[] | null>(null);
  useEffect(() => setNamed(null), [call.version]);
  /** Closing was asked for while what is written was not on the relay. */
  const [unsaved, setUnsaved] = useState(false);
  const [closing, setClosing] = useState(false);
  const [commandId] = useState(() => crypto.randomUUID());
  const conversation = useConversation(book, call);
  const { state: writing } = conversation;
  const connected = hasConnected(call);
  // What an open record still lacks is told of conversations only.
  const missing = incomplete ? (named ?? (connected ? call.missing : [])) : [];
  const disputed = Object.keys(writing.theirs).length > 0;
  const running = runningAttempt(call);
  const failedOnly = call.attempts.length > 0 && !connected && !running;
  const stillToDial = failedOnly ? neededDials(request.calls, strings) : null;
  const delivered = call.state === 'alternative_delivered';
  // The relay does not close a record of a red finding that would have to be made again.
  const isRed = request.draft?.body.criticality === 'crit_red' || request.criticality === 'crit_red';
  const closable = connected || (delivered && !(isRed && stillToDial !== null));

  const close = async () => {
    setClosing(true);
    setIncomplete(false);
    setUnsaved(false);
    onFailure(null);
    try {
      if (connected && !(await conversation.saver.flush())) return setUnsaved(true);
      onChanged(await closeCall(call.id, commandId));
    } catch (error) {
      const ids = missingOf(error);
      setNamed(ids);
      setIncomplete(ids.length > 0);
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
          {writing.status === 'saving' && words.saving}
          {writing.status === 'saved' && writing.savedAtMs !== null && words.saved(timeOfDay(writing.savedAtMs, strings.language))}
        </span>
      </div>
      {!connected && <ContactList call={call} request={request} disabled={disabled || running !== null} onChanged={onChanged} onFailure={onFailure} />}
      <AttemptList call={call} disabled={disabled} onChanged={onChanged} onFailure={onFailure} />
      {disputed && <ConversationConflict handle={conversation} />}
      {connected && <ConversationForm request={request} missing={call.missing} handle={conversation} disabled={disabled} currentImage={currentImage} />}
      {failedOnly && <FailedCallForms call={call} calls={request.calls} disabled={disabled} onChanged={onChanged} onFailure={onFailure} />}
      {(writing.problem !== null || unsaved) && writing.status !== 'saved' && (
        <Banner tone="danger">
          {unsaved && `${words.notClosed} `}
          {disputed ? words.conflictTitle : words.saveFailed} {!disputed && writing.problem !== null && problemText(writing.problem, strings)}
        </Banner>
      )}
      {missing.length > 0 && (
        <Banner tone="warning">
          {words.missing}: <MissingNames ids={missing} />
        </Banner>
      )}
      {call.attempts.length > 0 && !running && (
        <div className="flex flex-col gap-1.5 border-t border-line pt-3">
          {stillToDial !== null && <Banner tone="warning">{words.failedMore(stillToDial)}</Banner>}
          <Button kind={stillToDial === null ? 'primary' : 'danger'} disabled={disabled || closing || !closable} onClick={() => void close()} className="min-h-10">
            {stillToDial === null || !closable ? words.close : words.closeAnyway}
          </Button>
          {(closable || !delivered) && <p className="text-xs text-muted">{closable ? words.closeWarning : words.closeAfterDelivery}</p>}
        </div>
      )}
    </section>
  );
}

/** What has to be dialled before the record can stand in for a read-back; null when nothing. Once it is closed nothing can be added. */
function neededDials(calls: readonly Call[], { call: words, list }: Strings): string | null {
  // Somebody was told already.
  if (calls.some(({ state, conversation }) => state === 'closed' && conversation?.readback_ok === true)) return null;
  const { attempts, distinct } = failureFacts(calls);
  const needs = [attempts < attemptsMin && words.needAttempts(attemptsMin - attempts), distinct < distinctMin && words.needOther].filter((need) => need !== false);
  return needs.length > 0 ? list(needs) : null;
}

function CallClock({ call }: { call: Call }) {
  const { call: words } = useStrings();
  const now = useServerTime();
  const since = callClockSinceMs(call);
  if (since === null) return null;
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
  const { stateTold } = useTemplates();
  const text = ids.map((id) => missingName(id, strings) ?? stateTold.find((field) => field.id === id.split('.').at(-1))?.label[strings.language] ?? id);
  return <>{strings.list([...new Set(text)])}</>;
}
