import type { Arrival } from '../../api/types.ts';
import { useServerTime } from '../../lib/use-tick.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { arrivalFacts, isArriving, isComplete, withheldText } from './arrival-facts.ts';
import { announcedText } from './order.ts';

/** "212 / 245 verified": never a partial study as a complete one, and how long the rest takes. */
export function ArrivalBadge({ arrival }: { arrival: Arrival }) {
  const strings = useStrings();
  const { worklist } = strings;
  const { announced, verified } = arrival;
  const complete = isComplete(arrival);
  const arriving = isArriving(arrival);
  const withheld = withheldText(arrival, strings);
  return (
    <span className="inline-flex flex-col gap-1">
      <span className="flex items-center gap-1.5">
        <span className="text-sm whitespace-nowrap">{worklist.verified(verified, announcedText(announced))}</span>
        <Badge tone={complete ? 'green' : 'orange'}>{complete ? worklist.complete : arriving ? worklist.arriving : worklist.incomplete}</Badge>
      </span>
      {arriving && announced !== null && announced > 0 && (
        <progress
          aria-label={worklist.arrival}
          max={announced}
          value={verified}
          className="h-1 w-36 overflow-hidden rounded [&::-webkit-progress-bar]:bg-line [&::-webkit-progress-value]:bg-orange"
        />
      )}
      {withheld && <Withheld text={withheld} />}
      {arriving && <ArrivalFacts arrival={arrival} />}
    </span>
  );
}

/** Images that are at the hospital and not here: nobody should take what is here for all there is. */
export function Withheld({ text }: { text: string }) {
  return (
    <span className="self-start">
      <Badge tone="red" sentence>
        <span aria-hidden className="mr-1 font-bold">
          !
        </span>
        {text}
      </Badge>
    </span>
  );
}

/** Its own component: it ticks, and what is around it need not. */
export function ArrivalFacts({ arrival }: { arrival: Arrival }) {
  const strings = useStrings();
  const facts = arrivalFacts(arrival, useServerTime(), strings);
  return facts.length === 0 ? null : <span className="text-xs text-soft">{facts.join(strings.progress.separator)}</span>;
}
