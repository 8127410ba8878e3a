import type { ReadingRequestSummary } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { isClaimable } from '../worklist/order.ts';

/** Why nothing can be written here, and what would change that. */
export function NotMine({ request }: { request: ReadingRequestSummary }) {
  const { reading } = useStrings();
  const why = request.claim ? reading.claimedBy(request.claim.reader.name) : isClaimable(request) ? reading.notClaimed : null;
  return why && <p className="border-b border-line bg-raised px-4 py-2 text-sm text-soft">{why}</p>;
}
