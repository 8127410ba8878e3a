import { cache, getRenderingCapabilities, imageLoader, init as initCore } from '@cornerstonejs/core';
import type { Types } from '@cornerstonejs/core';
import { createImage, init as initImageLoader, wadors } from '@cornerstonejs/dicom-image-loader';
import { addTool, annotation, ArrowAnnotateTool, init as initTools, LengthTool, PanTool, WindowLevelTool, ZoomTool } from '@cornerstonejs/tools';
import { Beginnings } from './beginnings.ts';
import type { DicomJson } from './dicom-json.ts';
import type { DisplayImage } from './images.ts';
import { toFailureCode, ViewerFailure } from './failure.ts';
import { fetchFrame, fetchPreview } from './frame-source.ts';
import type { InstanceState } from './instance-state.ts';
import { decodePreview, stopPreviewDecoder } from './preview-decoder.ts';
import { ProgressiveImages } from './progressive-images.ts';

/** Decoded pixels kept at once: about 2,000 head CT slices. */
const cacheBytesMax = 1024 * 1024 * 1024;
/** Codestream bytes of previews kept at once: about 5,000 head CT slices. */
const beginningsBytesMax = 64 * 1024 * 1024;
const decodeWorkersMax = 4;
const explicitLittleEndian = '1.2.840.10008.1.2.1';

/** Marks stand out from brain and bone alike; the chosen one is lighter, and its number has ground of its own. */
const markStyle = {
  color: 'rgb(255, 214, 64)',
  colorHighlighted: 'rgb(160, 255, 190)',
  colorSelected: 'rgb(120, 240, 160)',
  lineWidth: '1.5',
  textBoxColor: 'rgb(255, 226, 110)',
  textBoxColorHighlighted: 'rgb(190, 255, 210)',
  textBoxColorSelected: 'rgb(160, 255, 190)',
  textBoxBackground: 'rgba(0, 0, 0, 0.65)',
};

let started = false;
const known = new Map<string, DisplayImage>();
const beginnings = new Beginnings(beginningsBytesMax);
let requests = new AbortController();
let pictures = newPictures();

/** Starts Cornerstone once per page. On a machine without a GPU the CPU path is faster than a software WebGL. */
export function startEngine(): void {
  if (started) return;
  started = true;
  const { webgl, softwareRasterizer } = getRenderingCapabilities();
  initCore({
    rendering: { useGenericViewport: true, useCPURendering: !webgl || softwareRasterizer },
    debug: { statsOverlay: false },
  });
  initTools();
  const { style } = annotation.config;
  const usual = style.getDefaultToolStyles();
  style.setDefaultToolStyles({ ...usual, global: { ...usual.global, ...markStyle } });
  const workers = Math.min(decodeWorkersMax, Math.max(1, (navigator.hardwareConcurrency ?? 2) - 1));
  initImageLoader({ maxWebWorkers: workers });
  cache.setMaxCacheSize(cacheBytesMax);
  imageLoader.registerImageLoader('relay', loadRelayImage);
  for (const tool of [WindowLevelTool, PanTool, ZoomTool, LengthTool, ArrowAnnotateTool]) addTool(tool);
}

/** Makes frames loadable: their header goes to Cornerstone's metadata, keyed by the address of the frame. */
export function registerImages(images: readonly DisplayImage[], metadata: readonly DicomJson[], state: InstanceState): void {
  const bySop = new Map(metadata.map((json) => [json['00080018']?.Value?.[0], json]));
  for (const image of images) {
    const json = bySop.get(image.sopInstanceUid);
    if (!json) continue;
    pictures.raise(image.imageId, state);
    if (known.has(image.imageId)) continue;
    known.set(image.imageId, image);
    wadors.metaDataManager.add(image.imageId, json as Parameters<typeof wadors.metaDataManager.add>[1]);
  }
}

/** Says how far an image is at the relay; true when that is news. */
export function raiseState({ imageId, previewUrl }: DisplayImage, state: InstanceState): boolean {
  return pictures.raise(imageId, state === 'preview' && previewUrl === null ? 'listed' : state);
}

export function stateOf(imageId: string): InstanceState {
  return pictures.stateOf(imageId);
}

/** Whether a decoded picture is not the original. */
export function isPreviewImage(image: Types.IImage | undefined): boolean {
  return pictures.isPreview(image);
}

/** Whether the original is in memory. */
export function hasOriginal(imageId: string): boolean {
  return cache.isLoaded(imageId) && !pictures.isPreview(cache.getImage(imageId));
}

export function canSharpen(imageId: string): boolean {
  return pictures.canSharpen(imageId);
}

/** Puts the original in the place of a preview in memory; what is on screen is drawn anew by its viewer. */
export async function sharpen(imageId: string): Promise<boolean> {
  return pictures.sharpen(imageId);
}

/** The original, whatever is in memory. */
export async function loadOriginal(imageId: string): Promise<Types.IImage> {
  await imageLoader.loadAndCacheImage(imageId);
  await pictures.sharpen(imageId);
  const image = await imageLoader.loadAndCacheImage(imageId);
  if (pictures.isPreview(image)) throw new ViewerFailure('not_arrived');
  return image;
}

/** Forgets every pixel, header and running request: called when the case on screen changes and at logout. */
export function forgetImages(): void {
  requests.abort();
  requests = new AbortController();
  pictures = newPictures();
  known.clear();
  beginnings.clear();
  stopPreviewDecoder();
  if (!started) return;
  cache.purgeCache();
  wadors.metaDataManager.purge();
}

function newPictures(): ProgressiveImages<Types.IImage> {
  const { signal } = requests;
  const source = { preview: (id: string) => loadPreview(id, signal), original: (id: string) => loadFrame(id, signal) };
  const replace = (id: string, image: Types.IImage) => {
    cache.removeImageLoadObject(id);
    return cache.putImageLoadObject(id, { promise: Promise.resolve(image) });
  };
  return new ProgressiveImages(source, { get: (id) => cache.getImage(id), replace });
}

function loadRelayImage(imageId: string): Types.IImageLoadObject {
  return { promise: loadBest(imageId), cancelFn: undefined };
}

async function loadBest(imageId: string): Promise<Types.IImage> {
  find(imageId);
  return pictures.load(imageId);
}

async function loadFrame(imageId: string, signal: AbortSignal): Promise<Types.IImage> {
  const { signed, bitsStored, bytesExpected } = find(imageId);
  const url = imageId.slice('relay:'.length);
  const beginning = beginnings.take(imageId);
  try {
    const { bytes, transferSyntaxUid } = await fetchFrame({ url, signed, bitsStored, bytesExpected, beginning }, signal);
    return await decode(imageId, bytes, transferSyntaxUid);
  } catch (error) {
    // The line broke: the next attempt goes on from here again.
    if (beginning && toFailureCode(error) === 'network') beginnings.keep(imageId, beginning);
    throw error;
  }
}

/** As the original would be decoded, from a native frame of the same size: geometry and values stay what they are. */
async function loadPreview(imageId: string, signal: AbortSignal): Promise<Types.IImage> {
  const { previewUrl, columns, rows, bitsAllocated, signed, samplesPerPixel: components } = find(imageId);
  if (previewUrl === null) throw new ViewerFailure('not_arrived');
  const { codestream, frameEtag, halvings } = await fetchPreview(previewUrl, signal);
  // A copy: the decoder takes the bytes along.
  if (frameEtag !== null) beginnings.keep(imageId, { bytes: codestream.slice(), etag: frameEtag });
  const native = await decodePreview({ codestream, halvings, full: { columns, rows, bitsAllocated }, signed, components });
  return decode(imageId, native, explicitLittleEndian);
}

function find(imageId: string): DisplayImage {
  const image = known.get(imageId);
  if (!image) throw new ViewerFailure('not_found');
  if (image.refused) throw new ViewerFailure(image.refused);
  return image;
}

async function decode(imageId: string, bytes: Uint8Array<ArrayBuffer>, transferSyntaxUid: string): Promise<Types.IImage> {
  try {
    const image: unknown = await createImage(imageId, bytes as unknown as Parameters<typeof createImage>[1], transferSyntaxUid, {});
    return image as Types.IImage;
  } catch {
    throw new ViewerFailure('decode_failed');
  }
}
