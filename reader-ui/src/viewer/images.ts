import type { DicomJson } from './dicom-json.ts';
import { readItems, readNumber, readNumbers, readText, readTexts } from './dicom-json.ts';
import type { ViewerFailureCode } from './failure.ts';
import type { Plane } from './geometry.ts';
import { sortStack, toPlane } from './geometry.ts';
import type { Window } from './windows.ts';

/** How many frames an Instance has. */
export interface FramesOf {
  /** In the stack. */
  shown: number;
  /** At the relay. */
  there: number;
  /** By its header, which may say anything. */
  claimed: number;
}

/** One frame of one Instance, with what the page says about it. Plain values: nothing here knows Cornerstone. */
export interface DisplayImage {
  /** `relay:` and the address of the frame. */
  imageId: string;
  sopInstanceUid: string;
  seriesInstanceUid: string;
  frame: number;
  instanceNumber: number | null;
  modality: string;
  rows: number;
  columns: number;
  signed: boolean;
  bitsStored: number;
  bitsAllocated: number;
  samplesPerPixel: number;
  bytesExpected: number;
  /** Where the relay has its preview, should it have one that this page can show; null when it never can. */
  previewUrl: string | null;
  plane: Plane | null;
  /** [between rows, between columns] in mm; null when the object does not say, and then nothing is measured. */
  spacing: [number, number] | null;
  sliceThicknessMm: number | null;
  headerWindow: Window | null;
  gantryTiltDegrees: number | null;
  lossy: { ratio: number | null } | null;
  frames: FramesOf;
  /** Known before loading: why this object has no picture to show. */
  refused: ViewerFailureCode | null;
}

const shownPhotometric = new Set(['MONOCHROME1', 'MONOCHROME2', 'RGB', 'PALETTE COLOR', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT']);
const edgeMax = 16_384;
const framesPerInstanceMax = 4096;

/** The frames that there are of each Instance, by SOP Instance UID, as the relay has counted them. */
export type FrameCounts = ReadonlyMap<string, number>;

/**
 * The frames of a series in stack order, from its DICOM JSON metadata. `study` is its name in addresses. What the
 * metadata claims is not believed; an Instance that the relay has not counted yet comes with a later answer.
 */
export function toDisplayImages(metadata: readonly DicomJson[], study: string, counts: FrameCounts): DisplayImage[] {
  return sortStack(metadata.flatMap((json) => framesOf(json, study, counts)));
}

function framesOf(json: DicomJson, study: string, counts: FrameCounts): DisplayImage[] {
  const sopInstanceUid = readText(json, '00080018');
  const there = counts.get(sopInstanceUid ?? '');
  if (!sopInstanceUid || there === undefined) return [];
  const claimed = Math.max(1, readNumber(json, '00280008') ?? 1);
  const frames: FramesOf = { shown: Math.min(there, framesPerInstanceMax), there, claimed };
  // One that cannot be shown keeps its place in the stack, with the reason.
  return Array.from({ length: Math.max(1, frames.shown) }, (_, index) => toImage(json, sopInstanceUid, index + 1, study, frames));
}

function toImage(json: DicomJson, sopInstanceUid: string, frame: number, study: string, frames: FramesOf): DisplayImage {
  const perFrame = readItems(json, '52009230')[frame - 1];
  const shared = readItems(json, '52009229')[0];
  /** A value of a functional group macro, per frame before shared, else from the top level. */
  const grouped = (group: string, tag: string) =>
    [perFrame, shared].map((item) => item && readItems(item, group)[0]).find((item) => item?.[tag]) ?? json;
  const numbers = (group: string, tag: string) => readNumbers(grouped(group, tag), tag);
  const rows = readNumber(json, '00280010') ?? 0;
  const columns = readNumber(json, '00280011') ?? 0;
  const bits = readNumber(json, '00280100') ?? 0;
  const bitsStored = readNumber(json, '00280101') ?? bits;
  const samplesPerPixel = readNumber(json, '00280002') ?? 1;
  const signed = readNumber(json, '00280103') === 1;
  const seriesInstanceUid = readText(json, '0020000E') ?? '';
  const instance = `instances/${sopInstanceUid}/frames/${frame}`;
  const spacing = numbers('00289110', '00280030');
  return {
    imageId: `relay:/dicom-web/studies/${study}/series/${seriesInstanceUid}/${instance}`,
    sopInstanceUid,
    seriesInstanceUid,
    frame,
    instanceNumber: readNumber(json, '00200013'),
    modality: readText(json, '00080060') ?? '',
    rows,
    columns,
    signed,
    bitsStored,
    bitsAllocated: bits,
    samplesPerPixel,
    bytesExpected: (rows * columns * samplesPerPixel * bits) / 8,
    previewUrl: isPreviewable(json, bits, bitsStored, signed, samplesPerPixel) ? `/api/v1/studies/${study}/${instance}/preview` : null,
    plane: toPlane(numbers('00209113', '00200032'), numbers('00209116', '00200037')),
    spacing: spacing.length === 2 && spacing.every((mm) => mm > 0) ? [spacing[0] ?? 0, spacing[1] ?? 0] : null,
    sliceThicknessMm: numbers('00289110', '00180050')[0] ?? null,
    headerWindow: toHeaderWindow(numbers('00289132', '00281050'), numbers('00289132', '00281051')),
    gantryTiltDegrees: readNumber(json, '00181120'),
    lossy: toLossy(json),
    frames,
    refused: toRefusal(json, rows, columns, bits) ?? (frames.there === 0 ? 'not_displayable' : null),
  };
}

/** What the preview decoder gives truly: 8 or 16 bits, samples by pixel, and no negative ones of 8 bits and less. */
function isPreviewable(json: DicomJson, bits: number, bitsStored: number, signed: boolean, samplesPerPixel: number): boolean {
  const byPixel = samplesPerPixel === 1 || (samplesPerPixel === 3 && readNumber(json, '00280006') === 0);
  return (bits === 8 || bits === 16) && bitsStored <= bits && byPixel && !(signed && bitsStored <= 8);
}

function toHeaderWindow(centers: number[], widths: number[]): Window | null {
  const [center] = centers;
  const [width] = widths;
  return center !== undefined && width !== undefined && width >= 1 ? { center, width } : null;
}

/** Lossy Image Compression (0028,2110) is "01" for ever once a lossy step has happened (PS3.3 C.7.6.1.1.5). */
function toLossy(json: DicomJson): DisplayImage['lossy'] {
  if (!readTexts(json, '00282110').includes('01')) return null;
  const ratios = readNumbers(json, '00282112');
  return { ratio: ratios.length ? ratios.reduce((product, ratio) => product * ratio, 1) : null };
}

function toRefusal(json: DicomJson, rows: number, columns: number, bits: number): ViewerFailureCode | null {
  if (rows < 1 || columns < 1) return 'no_pixel_data';
  if (rows > edgeMax || columns > edgeMax) return 'too_large';
  const photometric = readText(json, '00280004') ?? '';
  return shownPhotometric.has(photometric) && [1, 8, 16, 32].includes(bits) ? null : 'unsupported_photometric';
}
