import type { Arrival } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { useLateImages } from './use-late-images.ts';

/** What came after the study was complete on this screen, and that something came after a signature. */
export function LateImagesBanner({ arrival, signed }: { arrival: Arrival; signed: boolean }) {
  const { reading } = useStrings();
  const { late, setSeen } = useLateImages(arrival);
  if (!signed && late === 0) return null;
  return (
    <Banner
      tone="warning"
      action={
        late > 0 && (
          <Button small onClick={setSeen}>
            {reading.lateSeen}
          </Button>
        )
      }
    >
      {[signed && reading.lateImages, late > 0 && reading.lateAdded(late)].filter(Boolean).join(' ')}
    </Banner>
  );
}
