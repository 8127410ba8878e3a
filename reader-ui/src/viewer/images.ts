import type { DicomJson } from './dicom-json.ts';
import { readItems, readNumber, readNumbers, readText, readTexts } from './dicom-json.ts';
import type { ViewerFailureCode } from './failure.ts';
import type { Plane } from './geometry.ts';
import { sortStack, toPlane } from './geometry.ts';
import type { Window } from './windows.ts';

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
  bytesExpected: number;
  plane: Plane | null;
  /** [between rows, between columns] in mm; null when the object does not say, and then nothing is measured. */
  spacing: [number, number] | null;
  sliceThicknessMm: number | null;
  headerWindow: Window | null;
  gantryTiltDegrees: number | null;
  lossy: { ratio: number | null } | null;
  /** Known before loading: why this object has no picture to show. */
  refused: ViewerFailureCode | null;
}

const shownPhotometric = new Set(['MONOCHROME1', 'MONOCHROME2', 'RGB', 'PALETTE COLOR', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT']);
const edgeMax = 16_384;
const framesPerInstanceMax = 4096;

/** The frames of a series in stack order, from its DICOM JSON metadata. */
export function toDisplayImages(metadata: readonly DicomJson[], seriesPath: string): DisplayImage[] {
  return sortStack(metadata.flatMap((json) => framesOf(json, seriesPath)));
}

function framesOf(json: DicomJson, seriesPath: string): DisplayImage[] {
  const sopInstanceUid = readText(json, '00080018');
  if (!sopInstanceUid) return [];
  const frames = Math.min(Math.max(1, readNumber(json, '00280008') ?? 1), framesPerInstanceMax);
  return Array.from({ length: frames }, (_, index) => toImage(json, sopInstanceUid, index + 1, seriesPath));
}

function toImage(json: DicomJson, sopInstanceUid: string, frame: number, seriesPath: string): DisplayImage {
  const perFrame = readItems(json, '52009230')[frame - 1];
  const shared = readItems(json, '52009229')[0];
  /** A value of a functional group macro, per frame before shared, else from the top level. */
  const grouped = (group: string, tag: string) =>
    [perFrame, shared].map((item) => item && readItems(item, group)[0]).find((item) => item?.[tag]) ?? json;
  const numbers = (group: string, tag: string) => readNumbers(grouped(group, tag), tag);
  const rows = readNumber(json, '00280010') ?? 0;
  const columns = readNumber(json, '00280011') ?? 0;
  const bits = readNumber(json, '00280100') ?? 0;
  const spacing = numbers('00289110', '00280030');
  return {
    imageId: `relay:${seriesPath}/instances/${sopInstanceUid}/frames/${frame}`,
    sopInstanceUid,
    seriesInstanceUid: readText(json, '0020000E') ?? '',
    frame,
    instanceNumber: readNumber(json, '00200013'),
    modality: readText(json, '00080060') ?? '',
    rows,
    columns,
    signed: readNumber(json, '00280103') === 1,
    bytesExpected: (rows * columns * (readNumber(json, '00280002') ?? 1) * bits) / 8,
    plane: toPlane(numbers('00209113', '00200032'), numbers('00209116', '00200037')),
    spacing: spacing.length === 2 && spacing.every((mm) => mm > 0) ? [spacing[0] ?? 0, spacing[1] ?? 0] : null,
    sliceThicknessMm: numbers('00289110', '00180050')[0] ?? null,
    headerWindow: toHeaderWindow(numbers('00289132', '00281050'), numbers('00289132', '00281051')),
    gantryTiltDegrees: readNumber(json, '00181120'),
    lossy: toLossy(json),
    refused: toRefusal(json, rows, columns, bits),
  };
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
