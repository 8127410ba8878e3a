import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useState } from 'react';
import { keys } from '../../api/queries.ts';
import type { Call, ReadingRequestDetail, ViewedImage } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { useSession } from '../session/session-context.ts';
import { CallRecord } from './CallRecord.tsx';
import { CallEditor } from './CallEditor.tsx';
import { isClosed, ownOpenCalls } from './call-facts.ts';
import type { ConversationBook } from './use-conversations.ts';
import { replaceCall } from './use-conversations.ts';

interface Props {
  request: ReadingRequestDetail;
  book: ConversationBook;
  disabled: boolean;
  problem: unknown;
  onStart(): void;
  /** The image on screen, to be put down as seen together. */
  currentImage(): ViewedImage | null;
}

/** The phone call of this case: one's own open one to write in; the closed ones and those of others to read. */
export function CallPanel({ request, book, disabled, problem, onStart, currentImage }: Props) {
  const { call: words } = useStrings();
  const { user } = useSession().session;
  const queries = useQueryClient();
  const [failure, setFailure] = useState<unknown>(null);
  const replace = useCallback(
    async (call: Call) => {
      await replaceCall(queries, request.id, call);
      // A dial or a closed record changes what still blocks signing.
      await queries.invalidateQueries({ queryKey: keys.request(request.id) });
    },
    [queries, request.id],
  );
  const open = ownOpenCalls(request, user.id);
  const toRead = request.calls.filter((call) => !open.includes(call)).toReversed();
  return (
    <div className="flex flex-col gap-4">
      <ProblemBanner error={problem ?? failure} />
      {open.length === 0 && (
        <div className="flex items-center gap-3">
          <Button kind="primary" disabled={disabled} onClick={onStart} className="min-h-10">
            {request.calls.length > 0 ? words.newCall : words.start} <kbd className="text-xs opacity-70">P</kbd>
          </Button>
          <span className="text-xs text-muted">{words.startHint}</span>
        </div>
      )}
      {open.map((call) => (
        <CallEditor key={call.id} call={call} request={request} book={book} disabled={disabled} currentImage={currentImage} onChanged={replace} onFailure={setFailure} />
      ))}
      {open.length === 0 && toRead.length === 0 && <p className="text-sm text-muted">{words.none}</p>}
      {toRead.map((call) => (
        <CallRecord key={call.id} call={call} canAdd={!disabled && isClosed(call)} onChanged={replace} />
      ))}
    </div>
  );
}
