// @vitest-environment happy-dom
import { renderToStaticMarkup } from 'react-dom/server';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Arrival } from '../../api/types.ts';
import { exampleRequest } from '../../testing/example-request.ts';
import { ja } from '../../strings/ja.ts';
import { LanguageProvider } from '../../strings/language.tsx';
import type { DisplayImage } from '../../viewer/images.ts';
import { toDisplayImages } from '../../viewer/images.ts';
import type { ViewerState } from '../../viewer/stack-viewer.ts';
import { ViewerOverlay } from './ViewerOverlay.tsx';
import { ohifAddress, ViewerToolbar } from './ViewerToolbar.tsx';

// Cornerstone wants a real browser; what is said about its picture does not.
vi.mock('../../viewer/stack-viewer.ts', () => ({}));

const element = (vr: string, ...values: unknown[]) => ({ vr, Value: values });
const [image] = toDisplayImages(
  [
    {
      '00080018': element('UI', '1.8'),
      '0020000E': element('UI', '1.2.3'),
      '00080060': element('CS', 'CT'),
      '00280004': element('CS', 'MONOCHROME2'),
      '00280010': element('US', 512),
      '00280011': element('US', 512),
      '00280100': element('US', 16),
      '00280030': element('DS', 0.5, 0.5),
    },
  ],
  'study',
  new Map([['1.8', 1]]),
) as [DisplayImage];

const arrival: Arrival = {
  announced: 40,
  received: 40,
  verified: 3,
  previews: 37,
  held: 0,
  closed: true,
  withheld: [],
  bytes_per_s: null,
  remaining_ms: null,
  last_data_at_ms: null,
  first_arrival_at_ms: 1,
  last_arrival_at_ms: 1,
  bytes: 1,
};
const original: ViewerState = {
  count: 40,
  index: 4,
  shown: image,
  preview: false,
  loading: false,
  failure: null,
  window: { center: 40, width: 80 },
  inverted: false,
  zoomPercent: 100,
  loadedCount: 3,
  tool: 'window',
  measurable: true,
  annotationCount: 0,
};
const preview: ViewerState = { ...original, preview: true, measurable: false };

beforeEach(() => localStorage.clear());

function shown(state: ViewerState, language: 'ja' | 'en' = 'ja', ohif: string | null = null, opening = false): string {
  localStorage.setItem('tancho.language', language);
  return renderToStaticMarkup(
    <LanguageProvider>
      <ViewerToolbar handle={{ host: { current: null }, viewer: null, state }} onPick={() => undefined} ohif={ohif} />
      <ViewerOverlay state={state} viewer={null} series={null} opening={opening} arrival={arrival} failure={null} />
    </LanguageProvider>,
  );
}

const disabledButtons = (page: string) => page.match(/<button[^>]* disabled=""[^>]*>[^<]*/g)?.map((button) => button.replace(/.*>/, '').trim()) ?? [];

describe('what is said on a preview', () => {
  it('is that it is one, in words, and what cannot be done with it', () => {
    const page = shown(preview);
    expect(page).toContain('プレビュー(低解像度)');
    expect(page).toContain('計測・矢印・キー画像は使えません');
    expect(disabledButtons(page)).toEqual(['距離', '矢印', '装置の設定', 'キー画像']);
  });

  it('is said in English too', () => {
    const page = shown(preview, 'en');
    expect(page).toContain('Preview (low resolution)');
    expect(page).toContain('cannot be measured');
  });

  it('says that frames are being asked for, and otherwise that they are awaited', () => {
    const nothing: ViewerState = { ...original, shown: null, count: 0, loadedCount: 0 };
    expect(shown(nothing, 'ja', null, true)).toContain(ja.viewer.loading);
    expect(shown(nothing)).toContain(ja.viewer.waiting);
  });

  it('is gone with the original, and so is what it forbade', () => {
    const page = shown(original);
    expect(page).not.toContain('プレビュー(低解像度)');
    expect(page).not.toContain('使えません');
    expect(disabledButtons(page)).toEqual(['装置の設定']);
  });
});

describe('an image whose head is here and whose picture is not', () => {
  it('has its place in the stack, and is waited for without an alarm', () => {
    const page = shown({ ...original, failure: 'not_arrived' });
    expect(page).toContain('この画像はまだ届いていません');
    expect(page).toContain('5 / 40');
    expect(page).not.toContain('role="alert"');
    expect(page).toContain('3 / 40 枚 検証済');
  });
});

describe('OHIF', () => {
  const { study } = exampleRequest;

  it('is offered in a tab of its own where it is installed, with this study alone', () => {
    const address = ohifAddress({ viewers: { ohif: true } }, study);
    expect(address).toBe('/ohif/viewer?StudyInstanceUIDs=1.2.3');
    const page = shown(original, 'ja', address);
    expect(page).toMatch(/<a href="\/ohif\/viewer\?StudyInstanceUIDs=1\.2\.3" target="_blank" rel="noopener"[^>]*>OHIFで開く/);
  });

  it('is not offered where it is not installed, nor before an image is there', () => {
    expect(ohifAddress({ viewers: { ohif: false } }, study)).toBeNull();
    expect(ohifAddress({ viewers: { ohif: true } }, { ...study, id: null })).toBeNull();
    expect(shown(original)).not.toContain('OHIF');
  });
});
