import { useEffect, useRef, useState } from 'react';
import type { KeyImage } from '../../api/types.ts';
import { safeText } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Dialog } from '../../ui/Dialog.tsx';
import type { ViewerFailureCode } from '../../viewer/failure.ts';
import { toFailureCode } from '../../viewer/failure.ts';
import { positionMm } from '../../viewer/geometry.ts';
import type { KeyImagePicture } from '../../viewer/key-image.ts';
import { drawKeyImage, loadKeyImage } from '../../viewer/key-image.ts';
import { Orientation } from '../reading/Orientation.tsx';

/** A key image as the reader left it: same pixels, same window, same marks; and which image of the study it is. */
export function KeyImageFigure({ image, study, number }: { image: KeyImage; study: string; number: number }) {
  const { viewer: words, findings, common } = useStrings();
  const [failure, setFailure] = useState<ViewerFailureCode | null>(null);
  const [picture, setPicture] = useState<KeyImagePicture | null>(null);
  const [isLarge, setLarge] = useState(false);
  useEffect(() => {
    let gone = false;
    setPicture(null);
    setFailure(null);
    loadKeyImage(study, image).then(
      (loaded) => !gone && setPicture(loaded),
      (error: unknown) => !gone && setFailure(toFailureCode(error)),
    );
    return () => {
      gone = true;
    };
  }, [image, study]);
  const place = picture && placeOf(picture, words.position, findings.instanceNumber);
  return (
    <figure className="flex flex-col overflow-hidden rounded-md border border-line bg-void">
      {picture ? (
        <Picture picture={picture} image={image} number={number} />
      ) : (
        <div className="flex aspect-square items-center justify-center px-4 text-center text-sm text-muted">
          {failure ? `${words.failureTitle}: ${words.failure[failure] ?? ''}` : words.loading}
        </div>
      )}
      <figcaption className="flex min-h-9 items-start gap-2 border-t border-line px-3 py-1.5 text-sm">
        <div className="min-w-0 flex-1">
          {image.caption && <bdi className="block">{safeText(image.caption)}</bdi>}
          {place && <span className="text-xs text-soft">{place}</span>}
        </div>
        {picture && (
          <Button small kind="quiet" onClick={() => setLarge(true)} aria-label={`${findings.enlarge} ${findings.keyImage(number)}`}>
            {findings.enlarge}
          </Button>
        )}
      </figcaption>
      {isLarge && picture && (
        <Dialog title={findings.keyImage(number)} closeLabel={common.close} onClose={() => setLarge(false)} wide>
          <div className="mx-auto w-full max-w-[70vh]">
            <Picture picture={picture} image={image} number={number} />
          </div>
          <p className="mt-2 text-sm text-soft">
            <bdi>{safeText(image.caption)}</bdi> {place}
          </p>
        </Dialog>
      )}
    </figure>
  );
}

function Picture({ picture, image, number }: { picture: KeyImagePicture; image: KeyImage; number: number }) {
  const { viewer: words, findings } = useStrings();
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (canvas.current) drawKeyImage(canvas.current, picture);
  }, [picture]);
  const { plane } = picture.image;
  return (
    <div className="relative aspect-square bg-void">
      <canvas ref={canvas} role="img" aria-label={`${findings.keyImage(number)} ${image.caption}`} className="size-full object-contain" />
      {image.window_width !== null && image.window_center !== null && (
        <span className="overlay-text absolute top-1.5 right-2 text-xs whitespace-pre text-soft">{words.window(String(image.window_width), String(image.window_center))}</span>
      )}
      <span className="overlay-text absolute top-1.5 left-2 text-sm font-semibold">{number}</span>
      {plane && <Orientation plane={plane} />}
    </div>
  );
}

/** Which image it is, as far as it says so. */
function placeOf({ image: { instanceNumber, plane } }: KeyImagePicture, position: (mm: string) => string, named: (number: number) => string): string {
  const parts = [instanceNumber === null ? null : named(instanceNumber), plane && position(positionMm(plane).toFixed(1))];
  return parts.filter(Boolean).join(' / ');
}
