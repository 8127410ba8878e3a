import type { StoredAnnotation } from './annotations.ts';
import { loadOriginal, startEngine } from './engine.ts';
import { ViewerFailure } from './failure.ts';
import type { DisplayImage } from './images.ts';
import { loadSeries } from './series.ts';
import type { PickedImage } from './stack-viewer.ts';
import { percentileWindow } from './percentile.ts';
import type { Window } from './windows.ts';
import { greyLevel, toRange } from './windows.ts';

/** The grey picture of a key image in its stored window, from the same decoded pixels the viewer draws. */
export interface KeyImagePicture {
  image: DisplayImage;
  pixels: ImageData;
  annotations: readonly StoredAnnotation[];
}

export async function loadKeyImage(study: string, picked: PickedImage): Promise<KeyImagePicture> {
  startEngine();
  const images = await loadSeries(study, picked.series_instance_uid, new Map([[picked.sop_instance_uid, picked.frame]]));
  const image = images.find(({ sopInstanceUid, frame }) => sopInstanceUid === picked.sop_instance_uid && frame === picked.frame);
  if (!image) throw new ViewerFailure('not_found');
  const decoded = await loadOriginal(image.imageId);
  const values = decoded.getPixelData();
  const pixels = new ImageData(image.columns, image.rows);
  const range = toRange(windowOf(picked) ?? image.headerWindow ?? percentileWindow(values) ?? { center: 127.5, width: 255 });
  const parts = decoded.color ? Math.round(values.length / (image.columns * image.rows)) : 1;
  for (let at = 0; at < image.columns * image.rows; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      const value = values[at * parts + (parts >= 3 ? channel : 0)] ?? 0;
      pixels.data[at * 4 + channel] = decoded.color ? value : decoded.invert ? 255 - greyLevel(value, range) : greyLevel(value, range);
    }
    pixels.data[at * 4 + 3] = 255;
  }
  return { image, pixels, annotations: picked.annotations };
}

function windowOf({ window_center: center, window_width: width }: PickedImage): Window | null {
  return center === null || width === null ? null : { center, width };
}

const markColor = '#ffd75e';

/** Draws the picture and its marks at the size of the original. */
export function drawKeyImage(canvas: HTMLCanvasElement, { pixels, annotations }: KeyImagePicture): void {
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  const context = canvas.getContext('2d');
  if (!context) return;
  context.putImageData(pixels, 0, 0);
  const scale = Math.max(1, pixels.width / 512);
  context.lineWidth = 2 * scale;
  context.font = `${15 * scale}px sans-serif`;
  context.strokeStyle = markColor;
  context.fillStyle = markColor;
  context.shadowColor = '#000';
  context.shadowBlur = 3;
  for (const mark of annotations) drawMark(context, mark, scale);
}

function drawMark(context: CanvasRenderingContext2D, mark: StoredAnnotation, scale: number): void {
  const [from, to] = mark.points;
  if (!from || !to) return;
  // A pixel position names the centre of the pixel.
  const [x1, y1, x2, y2] = [from[0] + 0.5, from[1] + 0.5, to[0] + 0.5, to[1] + 0.5];
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  if (mark.kind === 'arrow') {
    // The head is at the first point: that is where the reader pressed.
    const angle = Math.atan2(y2 - y1, x2 - x1);
    for (const turn of [0.45, -0.45]) {
      context.moveTo(x1, y1);
      context.lineTo(x1 + Math.cos(angle + turn) * 12 * scale, y1 + Math.sin(angle + turn) * 12 * scale);
    }
  }
  context.stroke();
  if (mark.kind === 'length') context.fillText(`${mark.mm.toFixed(1)} mm`, x2 + 6 * scale, y2 - 6 * scale);
}
