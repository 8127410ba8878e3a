import { presenceHeaders } from '../api/presence.ts';
import type { DicomJson } from './dicom-json.ts';
import { readNumber, readText } from './dicom-json.ts';
import { registerImages } from './engine.ts';
import { ViewerFailure } from './failure.ts';
import type { DisplayImage } from './images.ts';
import { toDisplayImages } from './images.ts';

/** A series as the relay's search lists it. */
export interface SeriesSummary {
  seriesInstanceUid: string;
  modality: string;
  number: number | null;
  description: string;
  /** Instances that are whole and verified; only these have metadata and frames. */
  verified: number;
}

/** The series of a study. `study` is the relay's own study id, or a Study Instance UID. */
export async function listSeries(study: string): Promise<SeriesSummary[]> {
  const found = await fetchDicomJson(`/dicom-web/studies/${study}/series`);
  return found.map((json) => ({
    seriesInstanceUid: readText(json, '0020000E') ?? '',
    modality: readText(json, '00080060') ?? '',
    number: readNumber(json, '00200011'),
    description: readText(json, '0008103E') ?? '',
    verified: readNumber(json, '00201209') ?? 0,
  }));
}

/** Reads a series' metadata and makes its verified frames loadable, in stack order. */
export async function loadSeries(study: string, seriesInstanceUid: string): Promise<DisplayImage[]> {
  const path = `/dicom-web/studies/${study}/series/${seriesInstanceUid}`;
  const metadata = await fetchDicomJson(`${path}/metadata`);
  const images = toDisplayImages(metadata, path);
  registerImages(images, metadata);
  return images;
}

async function fetchDicomJson(url: string): Promise<DicomJson[]> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: 'same-origin', cache: 'no-store', headers: { accept: 'application/dicom+json', ...presenceHeaders() } });
  } catch {
    throw new ViewerFailure('network');
  }
  if (response.status === 401) throw new ViewerFailure('session_ended');
  if (!response.ok) throw new ViewerFailure(response.status === 404 ? 'not_found' : 'relay_error');
  const body: unknown = await response.json().catch(() => null);
  if (!Array.isArray(body)) throw new ViewerFailure('relay_error');
  return body as DicomJson[];
}
