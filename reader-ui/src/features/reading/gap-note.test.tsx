// @vitest-environment happy-dom
import { act } from 'react';
import { createRoot } from 'react-dom/client';
import { expect, it } from 'vitest';
import { ja } from '../../strings/ja.ts';
import { LanguageProvider } from '../../strings/language.tsx';
import type { StackGaps } from '../../viewer/stack-gaps.ts';
import { GapNote } from './GapNote.tsx';

it('flt_064_the_reader_is_told_which_images_a_series_seems_to_lack', () => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  localStorage.clear();
  const box = document.createElement('div');
  const root = createRoot(box);
  const show = (gaps: StackGaps) =>
    act(() =>
      root.render(
        <LanguageProvider>
          <GapNote gaps={gaps} />
        </LanguageProvider>,
      ),
    );
  show({ numbers: [], places: 0, uneven: null });
  expect(box.textContent).toBe('');
  show({ numbers: [[7, 7], [12, 13]], places: 3, uneven: null });
  expect(box.querySelector('[role=alert]')?.textContent).toContain(`${ja.viewer.mayBeIncomplete} ${ja.viewer.numbersMissing('7, 12–13')} ${ja.viewer.placesMissing(3)}`);
  show({ numbers: [], places: 0, uneven: { fromMm: 2.5, toMm: 7 } });
  expect(box.querySelector('[role=alert]')).toBeNull();
  expect(box.querySelector('[role=status]')?.textContent).toContain(ja.viewer.unevenSlices(2.5, 7));
  expect(box.textContent).not.toContain(ja.viewer.mayBeIncomplete);
});
