import { cache } from '@cornerstonejs/core';
import { createImage, wadors } from '@cornerstonejs/dicom-image-loader';
import type { DicomJson } from './dicom-json.ts';
import { startEngine } from './engine.ts';

const imageId = 'relay:warm-up';
const htj2kLossless = '1.2.840.10008.1.2.4.201';
/** An HTJ2K codestream of 4 by 4 zeros, 16 bits, signed. */
const codestream =
  '/0//UQApQAAAAAAEAAAABAAAAAAAAAAAAAAABAAAAAQAAAAAAAAAAAABjwEB/1AACAACAAAACf9SAAwAAgABAAEEBEAB/1wAByCIiIiI/5AACgAAAAAAEAAB/5MAAP/Z';
const us = (value: number) => ({ vr: 'US', Value: [value] });
const header: DicomJson = {
  // The library looks for it in every image that has no orientation.
  '00080060': { vr: 'CS', Value: ['CT'] },
  '00280002': us(1),
  '00280004': { vr: 'CS', Value: ['MONOCHROME2'] },
  '00280010': us(4),
  '00280011': us(4),
  '00280100': us(16),
  '00280101': us(16),
  '00280102': us(15),
  '00280103': us(1),
};

/** Starts the viewer and a decoder on a picture of nothing, so that the first image of a case need not wait for them. */
export async function warmUp(): Promise<void> {
  startEngine();
  wadors.metaDataManager.add(imageId, header as Parameters<typeof wadors.metaDataManager.add>[1]);
  try {
    const bytes = Uint8Array.from(atob(codestream), (char) => char.codePointAt(0) ?? 0);
    await createImage(imageId, bytes as unknown as Parameters<typeof createImage>[1], htj2kLossless, {});
  } finally {
    wadors.metaDataManager.remove(imageId);
    if (cache.getImageLoadObject(imageId)) cache.removeImageLoadObject(imageId);
  }
}
