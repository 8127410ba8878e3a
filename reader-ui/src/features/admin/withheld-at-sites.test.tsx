// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { act } from 'react';
import { createRoot } from 'react-dom/client';
import { beforeEach, expect, it } from 'vitest';
import { withholdingQuery } from '../../api/queries.ts';
import type { WithholdingStudy } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { LanguageProvider } from '../../strings/language.tsx';
import { WithheldAtSites } from './WithheldAtSites.tsx';

beforeEach(() => localStorage.clear());

function drawn(items: WithholdingStudy[]): string {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  const client = new QueryClient({ defaultOptions: { queries: { enabled: false } } });
  client.setQueryData(withholdingQuery().queryKey, { items });
  const box = document.createElement('div');
  const root = createRoot(box);
  act(() =>
    root.render(
      <QueryClientProvider client={client}>
        <LanguageProvider>
          <WithheldAtSites />
        </LanguageProvider>
      </QueryClientProvider>,
    ),
  );
  const text = box.textContent;
  act(() => root.unmount());
  return text;
}

it('says what stays at which site and why, in words', () => {
  const text = drawn([
    {
      site_code: 'DOTO',
      site_name: '道東診療所',
      study_instance_uid: '1.2.392.1',
      withheld: [
        { reason: 'patient_differs', n_instances: 2 },
        { reason: 'of_a_newer_agent', n_instances: 1 },
      ],
      verified: 38,
      updated_at_ms: 1_795_000_000_000,
    },
  ]);
  for (const part of ['道東診療所', '別の患者名 2 枚', `${ja.withheld.otherReason} 1 枚`, '38', '1.2.392.1']) expect(text).toContain(part);
  expect(text).not.toContain(ja.withheld.nothing);
});

it('says that nothing stays', () => {
  expect(drawn([])).toContain(ja.withheld.nothing);
});
