import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { actOnRequest, returnReadingRequest } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import type { ReadingRequestDetail } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Dialog } from '../../ui/Dialog.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { isClaimable } from '../worklist/order.ts';

interface Props {
  request: ReadingRequestDetail;
  mine: boolean;
  canClaim: boolean;
}

/** Who reads this, and taking it, giving it back, or sending it back for information. */
export function ClaimBar({ request, mine, canClaim }: Props) {
  const strings = useStrings();
  const { reading, worklist } = strings;
  const queries = useQueryClient();
  const [problem, setProblem] = useState<unknown>(null);
  const [returning, setReturning] = useState(false);
  const [reason, setReason] = useState('');
  const act = async (perform: () => Promise<ReadingRequestDetail>) => {
    setProblem(null);
    try {
      const detail = await perform();
      // An older answer still on its way must not undo this one.
      await queries.cancelQueries({ queryKey: keys.request(request.id) });
      queries.setQueryData(keys.request(request.id), detail);
      void queries.invalidateQueries({ queryKey: keys.requests });
      setReturning(false);
    } catch (error) {
      setProblem(error);
      void queries.invalidateQueries({ queryKey: keys.request(request.id) });
    }
  };
  return (
    <div className="flex items-center gap-2">
      {problem !== null && !returning && (
        <div className="max-w-72">
          <ProblemBanner error={problem} />
        </div>
      )}
      {request.claim && <bdi className={mine ? 'text-sm font-semibold text-accent' : 'text-sm text-orange'}>{mine ? `${request.claim.reader.name}(${worklist.you})` : reading.holder(request.claim.reader.name)}</bdi>}
      {canClaim && isClaimable(request) && (
        <Button kind="primary" onClick={() => void act(() => actOnRequest(request.id, 'claim'))}>
          {reading.claim}
        </Button>
      )}
      {mine && (
        <>
          <Button small onClick={() => void act(() => actOnRequest(request.id, 'release'))}>
            {reading.release}
          </Button>
          <Button small onClick={() => setReturning(true)}>
            {reading.return}
          </Button>
        </>
      )}
      {returning && (
        <Dialog title={reading.return} closeLabel={strings.common.cancel} onClose={() => setReturning(false)}>
          <div className="flex flex-col gap-3">
            <textarea rows={3} aria-label={reading.returnWhy} placeholder={reading.returnWhy} value={reason} onChange={(event) => setReason(event.target.value)} className="field" />
            <ProblemBanner error={problem} />
            <Button kind="primary" disabled={reason.trim() === ''} onClick={() => void act(() => returnReadingRequest(request.id, reason.trim()))} className="w-fit">
              {reading.return}
            </Button>
          </div>
        </Dialog>
      )}
    </div>
  );
}
