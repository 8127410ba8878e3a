import { useEffect, useRef, useState } from 'react';
import type { KeyImage } from '../../api/types.ts';
import { safeText } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import type { ViewerFailureCode } from '../../viewer/failure.ts';
import { toFailureCode } from '../../viewer/failure.ts';
import { drawKeyImage, loadKeyImage } from '../../viewer/key-image.ts';

/** A key image as the reader left it: same pixels, same window, same marks. */
export function KeyImageFigure({ image, study, number }: { image: KeyImage; study: string; number: number }) {
  const { viewer: words, findings } = useStrings();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [failure, setFailure] = useState<ViewerFailureCode | null>(null);
  const [drawn, setDrawn] = useState(false);
  useEffect(() => {
    let gone = false;
    loadKeyImage(study, image).then(
      (picture) => {
        if (gone || !canvas.current) return;
        drawKeyImage(canvas.current, picture);
        setDrawn(true);
      },
      (error: unknown) => !gone && setFailure(toFailureCode(error)),
    );
    return () => {
      gone = true;
    };
  }, [image, study]);
  return (
    <figure className="flex flex-col overflow-hidden rounded-md border border-line bg-void">
      <div className="relative aspect-square">
        <canvas ref={canvas} role="img" aria-label={`${findings.keyImages} ${number} ${image.caption}`} className="size-full object-contain" />
        {!drawn && (
          <div className="absolute inset-0 flex items-center justify-center px-4 text-center text-sm text-muted">
            {failure ? `${words.failureTitle}: ${words.failure[failure] ?? ''}` : words.loading}
          </div>
        )}
        {image.window_width !== null && image.window_center !== null && (
          <span className="overlay-text absolute top-1.5 right-2 text-xs whitespace-pre text-soft">{words.window(String(image.window_width), String(image.window_center))}</span>
        )}
        <span className="overlay-text absolute top-1.5 left-2 text-sm font-semibold">{number}</span>
      </div>
      <figcaption className="min-h-9 border-t border-line px-3 py-1.5 text-sm">
        <bdi>{safeText(image.caption)}</bdi>
      </figcaption>
    </figure>
  );
}
