import { describe, expect, it } from 'vitest';
import type { DicomJson } from './dicom-json.ts';
import { toDisplayImages as toImages } from './images.ts';
import { edgesOf } from './orientation.ts';

const study = '1.2';
/** Every Instance has the frames that its header names. */
const toDisplayImages = (metadata: readonly DicomJson[], of: string) =>
  toImages(metadata, of, new Map(metadata.map((json) => [String(json['00080018']?.Value?.[0]), Number(json['00280008']?.Value?.[0] ?? 1)])));
const element = (vr: string, ...values: unknown[]) => ({ vr, Value: values });

function slice(uid: string, z: number, extra: DicomJson = {}): DicomJson {
  return {
    '00080018': element('UI', uid),
    '0020000E': element('UI', '1.2.3'),
    '00080060': element('CS', 'CT'),
    '00280002': element('US', 1),
    '00280004': element('CS', 'MONOCHROME2'),
    '00280010': element('US', 512),
    '00280011': element('US', 512),
    '00280100': element('US', 16),
    '00280103': element('US', 1),
    '00280030': element('DS', 0.488, 0.488),
    '00200032': element('DS', -125, -125, z),
    '00200037': element('DS', 1, 0, 0, 0, 1, 0),
    ...extra,
  };
}

describe('images of a series', () => {
  it('are in stack order, with the address of each frame', () => {
    const images = toDisplayImages([slice('1.9', 8), slice('1.8', 4)], study);
    expect(images.map(({ imageId }) => imageId)).toEqual([
      'relay:/dicom-web/studies/1.2/series/1.2.3/instances/1.8/frames/1',
      'relay:/dicom-web/studies/1.2/series/1.2.3/instances/1.9/frames/1',
    ]);
    expect(images[0]).toMatchObject({ spacing: [0.488, 0.488], signed: true, bitsStored: 16, bytesExpected: 524_288, refused: null, lossy: null });
  });

  it('have a preview only where the decoder gives it truly', () => {
    const preview = (extra: DicomJson) => toDisplayImages([slice('1.8', 4, extra)], study)[0]?.previewUrl ?? null;
    expect(preview({})).toBe('/api/v1/studies/1.2/instances/1.8/frames/1/preview');
    expect(preview({ '00280100': element('US', 8), '00280101': element('US', 8) })).toBeNull();
    expect(preview({ '00280100': element('US', 8), '00280103': element('US', 0) })).not.toBeNull();
    expect(preview({ '00280100': element('US', 32) })).toBeNull();
    const color = { '00280002': element('US', 3), '00280100': element('US', 8), '00280103': element('US', 0) };
    expect(preview({ ...color, '00280006': element('US', 1) })).toBeNull();
    expect(preview({ ...color, '00280006': element('US', 0) })).not.toBeNull();
  });

  it('have no spacing when the header has none, so that nothing can be measured', () => {
    expect(toDisplayImages([slice('1.8', 4, { '00280030': undefined })], study)[0]?.spacing).toBeNull();
    expect(toDisplayImages([slice('1.8', 4, { '00280030': element('DS', 0, 0.5) })], study)[0]?.spacing).toBeNull();
  });

  it('say that a source was lossy, with the product of its ratios', () => {
    const lossy = slice('1.8', 4, { '00282110': element('CS', '01'), '00282112': element('DS', 8, 2) });
    expect(toDisplayImages([lossy], study)[0]?.lossy).toEqual({ ratio: 16 });
  });

  it('are refused before loading when there is nothing to draw', () => {
    const report = slice('1.8', 4, { '00280010': undefined });
    const odd = slice('1.9', 8, { '00280004': element('CS', 'HSV') });
    expect(toDisplayImages([report, odd], study).map(({ refused }) => refused)).toEqual(['no_pixel_data', 'unsupported_photometric']);
  });

  it('of a multi-frame Instance take each frame with its own place', () => {
    const frame = (z: number) => ({ '00209113': element('SQ', { '00200032': element('DS', 0, 0, z) }) });
    const enhanced = slice('1.8', 0, { '00280008': element('IS', 2), '52009230': element('SQ', frame(5), frame(-5)) });
    expect(toDisplayImages([enhanced], study).map((one) => [one.frame, one.plane?.origin[2]])).toEqual([
      [2, -5],
      [1, 5],
    ]);
  });
});

describe('an Instance whose header claims frames', () => {
  const claims = slice('1.8', 4, { '00280008': element('IS', 1_000_000) });

  it('opens those that the relay has counted, and knows both numbers', () => {
    const images = toImages([claims], study, new Map([['1.8', 3]]));
    expect(images.map(({ frame }) => frame).toSorted()).toEqual([1, 2, 3]);
    expect(images[0]).toMatchObject({ refused: null, frames: { shown: 3, there: 3, claimed: 1_000_000 } });
  });

  it('keeps its place, with the reason, when there is none that can be shown', () => {
    expect(toImages([claims], study, new Map([['1.8', 0]])).map(({ frame, refused }) => [frame, refused])).toEqual([[1, 'not_displayable']]);
  });

  it('waits while the relay has not counted', () => {
    expect(toImages([claims], study, new Map())).toEqual([]);
  });

  it('never fills the stack beyond a limit, and says so', () => {
    const images = toImages([claims], study, new Map([['1.8', 5000]]));
    expect(images).toHaveLength(4096);
    expect(images[0]?.frames).toEqual({ shown: 4096, there: 5000, claimed: 1_000_000 });
  });
});

describe('edges of an image', () => {
  it('name the side of the patient', () => {
    const plane = toDisplayImages([slice('1.8', 4)], study)[0]?.plane;
    expect(plane && edgesOf(plane)).toEqual({ left: 'right', right: 'left', top: 'anterior', bottom: 'posterior' });
    expect(edgesOf({ origin: [0, 0, 0], row: [0, 1, 0], column: [0, 0, -1] })).toEqual({ left: 'anterior', right: 'posterior', top: 'head', bottom: 'foot' });
  });
});
