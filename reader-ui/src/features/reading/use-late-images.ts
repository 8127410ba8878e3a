import { useState } from 'react';
import type { Arrival } from '../../api/types.ts';
import { isArriving } from '../worklist/arrival-facts.ts';

/** Images of the study that are known to anyone: listed, or announced by the site. */
function knownImages({ received, announced }: Arrival): number {
  return Math.max(received, announced ?? 0);
}

/** Images that came after the study had been complete; `whole` is what it had then, `null` while it never was. */
export function lateImages(arrival: Arrival, whole: number | null): number {
  return whole === null ? 0 : Math.max(0, knownImages(arrival) - whole);
}

/**
 * How many images have come since the study was first complete on this screen, or since the reader last said to have
 * seen it. A count beside the pictures changes quietly; a reader who has looked through a whole study must be told.
 */
export function useLateImages(arrival: Arrival): { late: number; setSeen(): void } {
  const [whole, setWhole] = useState<number | null>(null);
  if (whole === null && !isArriving(arrival)) setWhole(knownImages(arrival));
  return { late: lateImages(arrival, whole), setSeen: () => setWhole(knownImages(arrival)) };
}
