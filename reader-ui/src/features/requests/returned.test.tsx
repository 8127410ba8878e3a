// @vitest-environment happy-dom
import type { ReactNode } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { readNotification } from '../../api/client.ts';
import { keys, requestsQuery } from '../../api/queries.ts';
import type { Notice, ReadingRequestDetail } from '../../api/types.ts';
import { en } from '../../strings/en.ts';
import { ja } from '../../strings/ja.ts';
import { listed, referrerSession, requestWith } from '../../testing/example-request.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { HistoryPanel } from '../reading/HistoryPanel.tsx';
import { ReportPage } from '../report/ReportPage.tsx';
import { Page as ContextPage } from './ContextPage.tsx';
import { Page as RequestsPage } from './RequestsPage.tsx';

vi.mock('@tanstack/react-router', () => ({
  Link: ({ children, to }: { children: ReactNode; to: string }) => <a href={to}>{children}</a>,
  useParams: () => ({ requestId: 'q' }),
  useNavigate: () => () => undefined,
}));
vi.mock('../../api/client.ts', async (original) => ({ ...(await original<object>()), readNotification: vi.fn(() => Promise.resolve()), getReadingRequest: vi.fn(() => new Promise(() => undefined)) }));
vi.mock('../../viewer/engine.ts', () => ({ forgetImages: () => undefined }));
vi.mock('../../viewer/key-image.ts', () => ({}));

const reason = '最終健常確認時刻と抗凝固薬の内服を教えてください';
const returned = requestWith({ state: 'returned', returned: { reason, at_ms: Date.UTC(2026, 0, 22, 16, 10), by: { id: 'saito', name: '齋藤 守' } } });

let rendered: Rendered;
beforeEach(() => localStorage.clear());
afterEach(() => rendered.leave());

const drawn = async (part: ReactNode, request: ReadingRequestDetail = returned) => {
  rendered = await render(part, {
    data: [
      [keys.request('q'), request],
      [requestsQuery('all').queryKey, listed(request)],
      [keys.notifications, { items: [] }],
      [['templates'], { items: [] }],
    ],
  });
  return rendered.page;
};

it('is told in the list of requests, with the reason, who asks and where to answer', async () => {
  const page = await drawn(<RequestsPage />);
  for (const text of [reason, '齋藤 守', ja.requests.returnedNext]) expect(page.textContent).toContain(text);
  expect([...page.querySelectorAll('a')].find(({ textContent }) => textContent === ja.requests.answerReturned)?.getAttribute('href')).toContain('/context');
});

it('is told above the fields that answer it', async () => {
  const page = await drawn(<ContextPage />);
  expect(page.querySelector('[role=alert]')?.textContent).toContain(reason);
});

it('counts as read where it is answered, and is not acknowledged', async () => {
  const notice = { id: 'n', kind: 'request_returned', version: null, recipient: { id: referrerSession.user.id, name: '北 健二', role: 'referrer', site: '' }, deliveries: [], read_at_ms: null, delivered_at_ms: 1, acknowledged_at_ms: null } as unknown as Notice;
  const request = { ...returned, notices: [notice] };
  await drawn(<ContextPage />, request);
  expect(readNotification).toHaveBeenCalledWith('n');
  await rendered.leave();
  const page = await drawn(<HistoryPanel request={request} />, request);
  expect(page.textContent).toContain(ja.reading.read);
  expect(page.textContent).not.toContain(ja.reading.acknowledgedFact);
});

it('is told on the page of the case, which waits for no reader then', async () => {
  const page = await drawn(<ReportPage />);
  expect(page.textContent).toContain(reason);
  expect(page.textContent).not.toContain(ja.requests.waiting);
});

it('is gone with the answer', async () => {
  const page = await drawn(<ReportPage />, requestWith({}));
  expect(page.textContent).toContain(ja.requests.waiting);
  expect(page.textContent).not.toContain(ja.requests.returnedTitle);
});

it('stays in the timeline', async () => {
  const event = { seq: 1, kind: 'returned', at_ms: 1, actor: { name: '齋藤 守', role: 'reader', site: '読影センター' }, detail: { reason } };
  const page = await drawn(<HistoryPanel request={requestWith({ events: [event, { ...event, seq: 2, kind: 'reopened', detail: {} }] })} />);
  expect(page.textContent).toContain(reason);
  for (const strings of [ja, en]) expect(strings.reading.event.reopened).toBeTruthy();
});
