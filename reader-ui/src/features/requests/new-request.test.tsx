// @vitest-environment happy-dom
import type { ReactNode } from 'react';
import { act } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { keys, requestsQuery } from '../../api/queries.ts';
import type { Notice } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { listed, requestWith } from '../../testing/example-request.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { Page as NewRequestPage } from './NewRequestPage.tsx';
import { Page as RequestsPage } from './RequestsPage.tsx';

vi.mock('@tanstack/react-router', () => ({ Link: ({ children }: { children: ReactNode }) => children }));

let rendered: Rendered;
beforeEach(() => localStorage.clear());
afterEach(() => rendered.leave());

it('marks every answer a request cannot be sent without, until it is there', async () => {
  rendered = await render(<NewRequestPage />, { data: [[['templates'], { items: [] }], [['arrived-studies'], [{ uid: '1.2.3', label: 'CT' }]]] });
  const marked = () => [...rendered.page.querySelectorAll('label, div')].filter((one) => one.lastElementChild?.textContent === ja.common.required && one.children.length === 1).map((one) => one.firstChild?.textContent?.trim());
  // The person logged in is the one to call back and responsible, unless they say otherwise.
  expect(marked()).toEqual([ja.requests.chooseStudy, ja.worklist.urgency, ja.reading.callbackNumber]);
  await act(async () => rendered.button(ja.code('urgent'))?.click());
  expect(marked()).toEqual([ja.requests.chooseStudy, ja.reading.callbackNumber]);
});

it('counts unread notices as the menu does', async () => {
  const notice = (id: string) => ({ id, kind: 'report_signed', reading_request_id: 'q', case_code: '4723', criticality: null, recipient: { id: 'kita', name: '', role: 'referrer', site: '' }, created_at_ms: 1, read_at_ms: null }) as unknown as Notice;
  rendered = await render(<RequestsPage />, { data: [[requestsQuery('all').queryKey, listed(requestWith({}))], [keys.notifications, { items: ['a', 'b', 'c'].map(notice) }], [['templates'], { items: [] }]] });
  expect(rendered.page.textContent).toContain(ja.requests.unread(3));
});
