import { presenceHeaders } from '../api/presence.ts';
import type { DicomJson } from './dicom-json.ts';
import { registerImages } from './engine.ts';
import { ViewerFailure } from './failure.ts';
import type { DisplayImage, FrameCounts } from './images.ts';
import { toDisplayImages } from './images.ts';

/** Reads the metadata of a series' verified Instances and makes their frames loadable, in stack order. */
export async function loadSeries(study: string, seriesInstanceUid: string, counts: FrameCounts): Promise<DisplayImage[]> {
  const metadata = await fetchDicomJson(`/dicom-web/studies/${study}/series/${seriesInstanceUid}/metadata`);
  const images = toDisplayImages(metadata, study, counts);
  registerImages(images, metadata, 'complete');
  return images;
}

/**
 * As {@link loadSeries}, with every Instance whose head is at the relay. So the stack has its length, its order and its
 * geometry from the start; which of its images can be shown is told apart.
 */
export async function loadArrivingSeries(study: string, seriesInstanceUid: string, counts: FrameCounts): Promise<DisplayImage[]> {
  const metadata = await fetchDicomJson(`/api/v1/studies/${study}/series/${seriesInstanceUid}/metadata`);
  const images = toDisplayImages(metadata, study, counts);
  registerImages(images, metadata, 'listed');
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
