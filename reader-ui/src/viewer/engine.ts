import { cache, getRenderingCapabilities, imageLoader, init as initCore } from '@cornerstonejs/core';
import type { Types } from '@cornerstonejs/core';
import { createImage, init as initImageLoader, wadors } from '@cornerstonejs/dicom-image-loader';
import { addTool, annotation, ArrowAnnotateTool, init as initTools, LengthTool, PanTool, WindowLevelTool, ZoomTool } from '@cornerstonejs/tools';
import type { DicomJson } from './dicom-json.ts';
import type { DisplayImage } from './images.ts';
import { ViewerFailure } from './failure.ts';
import { fetchFrame } from './frame-source.ts';

/** Decoded pixels kept at once: about 2,000 head CT slices. */
const cacheBytesMax = 1024 * 1024 * 1024;
const decodeWorkersMax = 4;

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
let requests = new AbortController();

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
export function registerImages(images: readonly DisplayImage[], metadata: readonly DicomJson[]): void {
  const bySop = new Map(metadata.map((json) => [json['00080018']?.Value?.[0], json]));
  for (const image of images) {
    const json = bySop.get(image.sopInstanceUid);
    if (!json || known.has(image.imageId)) continue;
    known.set(image.imageId, image);
    wadors.metaDataManager.add(image.imageId, json as Parameters<typeof wadors.metaDataManager.add>[1]);
  }
}

/** Forgets every pixel, header and running request: called when the case on screen changes and at logout. */
export function forgetImages(): void {
  requests.abort();
  requests = new AbortController();
  known.clear();
  if (!started) return;
  cache.purgeCache();
  wadors.metaDataManager.purge();
}

function loadRelayImage(imageId: string): Types.IImageLoadObject {
  const { signal } = requests;
  return { promise: load(imageId, signal) as Promise<Types.IImage>, cancelFn: undefined };
}

async function load(imageId: string, signal: AbortSignal): Promise<unknown> {
  const image = known.get(imageId);
  if (!image) throw new ViewerFailure('not_found');
  if (image.refused) throw new ViewerFailure(image.refused);
  const wanted = { url: imageId.slice('relay:'.length), signed: image.signed, bytesExpected: image.bytesExpected };
  const { bytes, transferSyntaxUid } = await fetchFrame(wanted, signal);
  try {
    return await createImage(imageId, bytes as unknown as Parameters<typeof createImage>[1], transferSyntaxUid, {});
  } catch {
    throw new ViewerFailure('decode_failed');
  }
}
