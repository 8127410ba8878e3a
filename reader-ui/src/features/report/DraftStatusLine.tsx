import { timeOfDay } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import type { DraftState } from './draft-saver.ts';

export function DraftStatusLine({ state }: { state: DraftState }) {
  const strings = useStrings();
  const { findings } = strings;
  const texts = {
    saved: state.savedAtMs === null ? '' : findings.saved(timeOfDay(state.savedAtMs, strings.language)),
    unsaved: findings.unsaved,
    saving: findings.saving,
    failed: findings.saveFailed,
    conflict: findings.conflictTitle,
  };
  const bad = state.status === 'failed' || state.status === 'conflict';
  return (
    <span role="status" className={bad ? 'text-xs font-semibold text-red' : 'text-xs text-muted'}>
      {texts[state.status]}
    </span>
  );
}
