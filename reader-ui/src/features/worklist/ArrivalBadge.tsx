import type { Arrival } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { announcedText } from './order.ts';

/** "212 / 245 verified": never a partial study as a complete one. */
export function ArrivalBadge({ arrival }: { arrival: Arrival }) {
  const { worklist } = useStrings();
  const { announced, verified, closed } = arrival;
  const complete = closed && announced !== null && verified >= announced;
  return (
    <span className="inline-flex flex-col gap-1">
      <span className="flex items-center gap-1.5">
        <span className="text-sm">{worklist.verified(verified, announcedText(announced))}</span>
        <Badge tone={complete ? 'green' : 'orange'}>{complete ? worklist.complete : worklist.arriving}</Badge>
      </span>
      {!complete && announced !== null && announced > 0 && (
        <progress
          aria-label={worklist.arrival}
          max={announced}
          value={verified}
          className="h-1 w-36 overflow-hidden rounded [&::-webkit-progress-bar]:bg-line [&::-webkit-progress-value]:bg-orange"
        />
      )}
    </span>
  );
}
