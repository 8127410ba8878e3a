// @vitest-environment happy-dom
import type { ReactNode } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { keys, requestsQuery } from '../../api/queries.ts';
import type { ReadingRequestDetail } from '../../api/types.ts';
import { serverNow } from '../../lib/server-clock.ts';
import { ja } from '../../strings/ja.ts';
import { listed, referrerSession, requestWith } from '../../testing/example-request.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { Page } from './UnacknowledgedPage.tsx';

vi.mock('@tanstack/react-router', () => ({ Link: ({ children }: { children: ReactNode }) => children }));

let rendered: Rendered;
beforeEach(() => localStorage.clear());
afterEach(() => rendered.leave());

const hourMs = 3_600_000;

async function shown(patch: Partial<ReadingRequestDetail>, critical: object[] = []): Promise<string> {
  const request = requestWith({ report_status: 'final', criticality: 'crit_orange', requested_at_ms: serverNow() - 5 * hourMs, ...patch });
  rendered = await render(<Page />, {
    session: { ...referrerSession, permissions: ['view_critical_results'] },
    data: [
      [requestsQuery('all').queryKey, listed(request)],
      [keys.criticalResults, { items: critical }],
    ],
  });
  return rendered.page.textContent ?? '';
}

it('counts from the signature, not from the request', async () => {
  expect(await shown({ signed_at_ms: serverNow() - 2 * hourMs })).toMatch(/署名から2:00:0/);
});

it('knows the signature of a red finding from its own list', async () => {
  expect(await shown({}, [{ reading_request_id: 'q', signed_at_ms: serverNow() - hourMs }])).toMatch(/署名から1:00:0/);
});

it('says nothing when it does not know', async () => {
  const text = await shown({});
  expect(text).toContain('4723');
  expect(text).not.toContain(ja.liaison.since);
  expect(text).not.toContain('5:00:');
});
