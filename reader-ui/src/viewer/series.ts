import type { DicomJson } from './dicom-json.ts';
import { registerImages } from './engine.ts';
import { ViewerFailure } from './failure.ts';
import type { DisplayImage } from './images.ts';
import { toDisplayImages } from './images.ts';

/** Reads a series' metadata from the relay and makes its frames loadable, in stack order. */
export async function loadSeries(studyInstanceUid: string, seriesInstanceUid: string): Promise<DisplayImage[]> {
  const path = `/dicom-web/studies/${studyInstanceUid}/series/${seriesInstanceUid}`;
  const metadata = await fetchMetadata(`${path}/metadata`);
  const images = toDisplayImages(metadata, path);
  registerImages(images, metadata);
  return images;
}

async function fetchMetadata(url: string): Promise<DicomJson[]> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: 'same-origin', cache: 'no-store', headers: { accept: 'application/dicom+json' } });
  } catch {
    throw new ViewerFailure('network');
  }
  if (response.status === 401) throw new ViewerFailure('session_ended');
  if (!response.ok) throw new ViewerFailure(response.status === 404 ? 'not_found' : 'relay_error');
  const body: unknown = await response.json().catch(() => null);
  if (!Array.isArray(body)) throw new ViewerFailure('relay_error');
  return body as DicomJson[];
}
