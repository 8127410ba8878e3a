// @vitest-environment happy-dom
import { act } from 'react';
import { createRoot } from 'react-dom/client';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Arrival } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { LanguageProvider } from '../../strings/language.tsx';
import { wholeArrival } from '../../testing/example-request.ts';
import { LateImagesBanner } from './LateImagesBanner.tsx';

beforeEach(() => localStorage.clear());

const whole: Arrival = { ...wholeArrival, announced: 245, received: 245, verified: 245 };

describe('images that come after a study was complete', () => {
  const draw = () => {
    const box = document.createElement('div');
    const root = createRoot(box);
    const show = (arrival: Arrival) =>
      act(() =>
        root.render(
          <LanguageProvider>
            <LateImagesBanner arrival={arrival} signed={false} />
          </LanguageProvider>,
        ),
      );
    return { box, show };
  };

  it('are told to the reader until seen, and again when more come', () => {
    (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
    const { box, show } = draw();
    show({ ...whole, closed: false, announced: null, received: 100, verified: 90 });
    show({ ...whole, closed: false, received: 245, verified: 244 });
    expect(box.textContent).toBe('');
    show(whole);
    expect(box.textContent).toBe('');
    show({ ...whole, closed: false, received: 248, announced: 248 });
    expect(box.querySelector('[role=alert]')?.textContent).toContain(ja.reading.lateAdded(3));
    show({ ...whole, announced: 250, received: 250, verified: 250 });
    expect(box.textContent).toContain(ja.reading.lateAdded(5));
    act(() => (box.querySelector('button') as HTMLButtonElement).click());
    expect(box.textContent).toBe('');
    show({ ...whole, closed: false, announced: 250, received: 251, verified: 250 });
    expect(box.textContent).toContain(ja.reading.lateAdded(1));
  });
});
