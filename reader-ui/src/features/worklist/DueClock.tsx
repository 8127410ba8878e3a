import { clock } from '../../lib/dates.ts';
import { useServerTime } from '../../lib/use-tick.ts';
import { useStrings } from '../../strings/language.tsx';
import type { Due } from './order.ts';

const soonMs = 5 * 60 * 1000;
const dayMs = 24 * 3600 * 1000;

/** Counts to a due time on the relay's clock; turns before it is missed, and says so in words. */
export function DueClock({ due }: { due: Due | null }) {
  const { worklist } = useStrings();
  const now = useServerTime();
  if (!due) return <span className="text-muted">—</span>;
  const left = due.atMs - now;
  const tone = left < 0 ? 'text-red' : left < soonMs ? 'text-orange' : 'text-soft';
  const time = Math.abs(left) >= dayMs ? worklist.days(Math.floor(Math.abs(left) / dayMs)) : clock(Math.abs(left));
  return (
    <span className={`flex flex-col whitespace-nowrap ${tone}`}>
      <span className="text-base leading-5 font-semibold">
        {left < 0 ? '+' : ''}
        {time}
      </span>
      <span className="text-xs">
        {worklist[due.kind]}
        {left < 0 && ` ${worklist.overdue}`}
      </span>
    </span>
  );
}
