import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import type { StackGaps } from '../../viewer/stack-gaps.ts';

/** Says of a series whose site expects no more which images it seems to lack (never that it is whole). */
export function GapNote({ gaps }: { gaps: StackGaps }) {
  const { viewer } = useStrings();
  const lacks = gaps.numbers.length > 0 || gaps.places > 0;
  if (!lacks && !gaps.uneven) return null;
  const told = [
    lacks && viewer.mayBeIncomplete,
    gaps.numbers.length > 0 && viewer.numbersMissing(runs(gaps.numbers)),
    gaps.places > 0 && viewer.placesMissing(gaps.places),
    gaps.uneven && viewer.unevenSlices(gaps.uneven.fromMm, gaps.uneven.toMm),
  ];
  return <Banner tone={lacks ? 'warning' : 'info'}>{told.filter(Boolean).join(' ')}</Banner>;
}

/** Runs beyond these are only counted: a banner must be read at a glance. */
const runsMax = 6;

function runs(numbers: StackGaps['numbers']): string {
  const told = numbers.slice(0, runsMax).map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`));
  return told.join(', ') + (numbers.length > runsMax ? ' …' : '');
}
