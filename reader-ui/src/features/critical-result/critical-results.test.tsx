// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { beforeEach, expect, it, vi } from 'vitest';
import { keys } from '../../api/queries.ts';
import type { CriticalResult } from '../../api/types.ts';
import { serverNow } from '../../lib/server-clock.ts';
import { en } from '../../strings/en.ts';
import { ja } from '../../strings/ja.ts';
import { LanguageProvider } from '../../strings/language.tsx';
import { CriticalResultsPanel } from './CriticalResultsPanel.tsx';

vi.mock('@tanstack/react-router', () => ({ Link: ({ children }: { children: ReactNode }) => children }));

beforeEach(() => localStorage.clear());

const open: CriticalResult = {
  report_id: 'r',
  version: 1,
  reading_request_id: 'q',
  case_code: '4711',
  criticality: 'crit_red',
  requesting_site: '根室診療所',
  reading_site: '読影センター',
  reader: { id: 'a', name: '読影 一' },
  signed_at_ms: serverNow() - 60_000,
  acknowledge_by_ms: serverNow() + 60_000,
  told: [{ person: { id: 'b', name: '北 健二' }, role: 'referrer', site: '根室診療所', told_at_ms: 1, delivered_at_ms: serverNow(), read_at_ms: null }],
  acknowledged_at_ms: null,
  acknowledged_by: null,
};

function shown(items: CriticalResult[]): string {
  const queries = new QueryClient();
  queries.setQueryData(keys.criticalResults, { items });
  const page = renderToStaticMarkup(
    <QueryClientProvider client={queries}>
      <LanguageProvider>
        <CriticalResultsPanel />
      </LanguageProvider>
    </QueryClientProvider>,
  );
  return page.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');
}

it('says in both languages that nothing is open', () => {
  expect(shown([])).toContain(ja.criticalResults.empty);
  localStorage.setItem('tancho.language', 'en');
  expect(shown([])).toContain(en.criticalResults.empty);
});

it('names who was told, what reached them and what did not', () => {
  const text = shown([open]);
  expect(text).toContain('4711');
  expect(text).toContain('北 健二');
  expect(text).toMatch(new RegExp(`${ja.reading.delivered} ${ja.reading.happened} .*${ja.reading.read} ${ja.reading.notYet}`));
  expect(text).not.toContain(ja.criticalResults.late);
  expect(shown([{ ...open, acknowledge_by_ms: serverNow() - 1 }])).toContain(ja.criticalResults.late);
  expect(shown([{ ...open, told: [] }])).toContain(ja.criticalResults.nobodyTold);
});

it('counts what is open and names who has acknowledged', () => {
  const done = { ...open, report_id: 's', acknowledged_at_ms: serverNow(), acknowledged_by: { id: 'b', name: '北 健二' } };
  const text = shown([open, done]);
  expect(text).toContain(`${ja.criticalResults.title} ${ja.criticalResults.count(1)}`);
  expect(text).toMatch(/✓ 北 健二 が受領確認/);
});
