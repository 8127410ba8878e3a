import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useState } from 'react';
import { keys } from '../../api/queries.ts';
import type { Call, ReadingRequestDetail, ViewedImage } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { CallRecord } from './CallRecord.tsx';
import { CallEditor } from './CallEditor.tsx';
import { isClosed } from './call-facts.ts';

interface Props {
  request: ReadingRequestDetail;
  disabled: boolean;
  problem: unknown;
  onStart(): void;
  /** The image on screen, to be put down as seen together. */
  currentImage(): ViewedImage | null;
}

/** The phone call of this case: the open one to write in, the closed ones to read. */
export function CallPanel({ request, disabled, problem, onStart, currentImage }: Props) {
  const { call: words } = useStrings();
  const queries = useQueryClient();
  const [failure, setFailure] = useState<unknown>(null);
  const replace = useCallback(
    async (call: Call) => {
      // An older answer still on its way must not undo this one.
      await queries.cancelQueries({ queryKey: keys.request(request.id) });
      queries.setQueryData(keys.request(request.id), (old: ReadingRequestDetail | undefined) => {
        if (!old) return old;
        const known = old.calls.some(({ id }) => id === call.id);
        return { ...old, calls: known ? old.calls.map((other) => (other.id === call.id ? call : other)) : [...old.calls, call] };
      });
    },
    [queries, request.id],
  );
  const open = request.calls.filter((call) => !isClosed(call));
  const closed = request.calls.filter(isClosed).toReversed();
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
        <CallEditor key={call.id} call={call} request={request} disabled={disabled} currentImage={currentImage} onChanged={replace} onFailure={setFailure} />
      ))}
      {open.length === 0 && closed.length === 0 && <p className="text-sm text-muted">{words.none}</p>}
      {closed.map((call) => (
        <CallRecord key={call.id} call={call} canAdd={!disabled} onChanged={replace} />
      ))}
    </div>
  );
}
