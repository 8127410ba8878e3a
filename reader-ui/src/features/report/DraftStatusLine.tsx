import { timeOfDay } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import type { ConversationState } from '../critical-result/conversation-saver.ts';
import type { DraftState } from './draft-saver.ts';

interface Props {
  draft: DraftState;
  /** The call records being written on this case. */
  conversations: readonly ConversationState[];
}

/** Whether everything written on this case is on the relay. A failed save is told until one succeeds, also while someone types on. */
export function DraftStatusLine({ draft, conversations }: Props) {
  const strings = useStrings();
  const { findings, call } = strings;
  const disputed = conversations.some(({ theirs }) => Object.keys(theirs).length > 0);
  const failures = [
    draft.status === 'conflict' ? findings.conflictTitle : draft.problem !== null && findings.saveFailed,
    disputed ? call.conflictTitle : conversations.some(({ problem }) => problem !== null) && call.saveFailed,
  ].filter((text) => text !== false);
  if (failures.length > 0) {
    return (
      <span role="alert" className="text-xs font-semibold text-red">
        ! {failures.join(' ')}
      </span>
    );
  }
  const texts = {
    saved: draft.savedAtMs === null ? '' : findings.saved(timeOfDay(draft.savedAtMs, strings.language)),
    unsaved: findings.unsaved,
    saving: findings.saving,
    failed: findings.saveFailed,
    conflict: findings.conflictTitle,
  };
  return (
    <span role="status" className="text-xs text-muted">
      {texts[draft.status]}
    </span>
  );
}
