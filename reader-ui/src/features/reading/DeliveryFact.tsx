import { dateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';

interface Props {
  label: string;
  /** Null while it has not happened. */
  atMs: number | null;
  who?: string | undefined;
}

/** One fact of the loop: `閲覧 未`, or `閲覧 済 1/23 01:10`. */
export function DeliveryFact({ label, atMs, who }: Props) {
  const { reading, language } = useStrings();
  return (
    <Badge tone={atMs === null ? 'orange' : 'green'}>
      {label} {atMs === null ? reading.notYet : `${reading.happened} ${dateTime(atMs, language)} ${who ?? ''}`.trim()}
    </Badge>
  );
}
