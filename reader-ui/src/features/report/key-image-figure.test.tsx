// @vitest-environment happy-dom
import { act } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { KeyImage } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { ViewerFailure } from '../../viewer/failure.ts';
import { drawKeyImage, loadKeyImage } from '../../viewer/key-image.ts';
import { KeyImageFigure } from './KeyImageFigure.tsx';

vi.mock('../../viewer/key-image.ts', () => ({ loadKeyImage: vi.fn(), drawKeyImage: vi.fn() }));

let rendered: Rendered;
beforeEach(() => localStorage.clear());
afterEach(() => rendered.leave());

const image = { series_instance_uid: '1', sop_instance_uid: '2', frame: 1, caption: '左被殻', window_center: 40, window_width: 80, annotations: [] } as unknown as KeyImage;
// Axial, seen from the feet, 47.4 mm above the origin.
const plane = { origin: [-125, -125, 47.4], row: [1, 0, 0], column: [0, 1, 0] };

it('says which side is which, which image it is and where it lies, and can be looked at large', async () => {
  vi.mocked(loadKeyImage).mockResolvedValue({ image: { instanceNumber: 19, plane }, annotations: [] } as never);
  rendered = await render(<KeyImageFigure image={image} study="s" number={1} />);
  const page = rendered.page;
  expect([...page.querySelectorAll('span')].map(({ textContent }) => textContent)).toEqual(expect.arrayContaining(['R', 'L', 'A', 'P']));
  expect(page.textContent).toContain(`${ja.findings.instanceNumber(19)} / ${ja.viewer.position('47.4')}`);
  expect(page.textContent).toContain('左被殻');
  expect(drawKeyImage).toHaveBeenCalledTimes(1);
  await act(async () => rendered.button(ja.findings.enlarge)?.click());
  expect(page.querySelector('dialog')?.textContent).toContain('R');
  expect(drawKeyImage).toHaveBeenCalledTimes(2);
  await act(async () => [...page.querySelectorAll<HTMLButtonElement>('dialog button')].find(({ textContent }) => textContent === ja.common.close)?.click());
  expect(page.querySelector('dialog')).toBeNull();
});

it('says why there is no picture, and offers none to enlarge', async () => {
  vi.mocked(loadKeyImage).mockRejectedValue(new ViewerFailure('not_found'));
  rendered = await render(<KeyImageFigure image={image} study="s" number={1} />);
  expect(rendered.page.textContent).toContain(ja.viewer.failure.not_found);
  expect(rendered.button(ja.findings.enlarge)).toBeUndefined();
});
