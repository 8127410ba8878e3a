import { useStrings } from '../../strings/language.tsx';
import type { Plane } from '../../viewer/geometry.ts';
import { edgesOf } from '../../viewer/orientation.ts';

/** The sides of the patient at the edges of a picture; `rail` leaves room for the one that scrolls on the right. */
export function Orientation({ plane, rail = false }: { plane: Plane; rail?: boolean }) {
  const { viewer: words } = useStrings();
  const edges = edgesOf(plane);
  const place = 'overlay-text absolute text-base font-semibold text-accent';
  return (
    <>
      <span className={`${place} top-1/2 left-3 -translate-y-1/2`}>{words[edges.left]}</span>
      <span className={`${place} top-1/2 -translate-y-1/2 ${rail ? 'right-9' : 'right-3'}`}>{words[edges.right]}</span>
      <span className={`${place} top-2 left-1/2 -translate-x-1/2`}>{words[edges.top]}</span>
      <span className={`${place} bottom-2 left-1/2 -translate-x-1/2`}>{words[edges.bottom]}</span>
    </>
  );
}
