// @vitest-environment happy-dom
import { act } from 'react';
import type { ReactNode } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { readNotification } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import type { Notice } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { exampleVersion } from '../../testing/example-report.ts';
import { requestWith } from '../../testing/example-request.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { ReportPage } from './ReportPage.tsx';

vi.mock('@tanstack/react-router', () => ({ Link: ({ children }: { children: ReactNode }) => children, useParams: () => ({ requestId: 'q' }) }));
vi.mock('../../viewer/engine.ts', () => ({ forgetImages: () => undefined }));
vi.mock('../../viewer/key-image.ts', () => ({}));
vi.mock('../../api/client.ts', () => ({
  listTemplates: vi.fn(() => new Promise(() => undefined)),
  getReport: vi.fn(),
  getReadingRequest: vi.fn(() => new Promise(() => undefined)),
  readNotification: vi.fn(() => Promise.resolve()),
}));

let rendered: Rendered;
beforeEach(() => localStorage.clear());
afterEach(() => rendered.leave());

const observe = { id: 'observe_local', label: { ja: '自院で経過観察', en: 'Observe locally' }, type: 'group', required: 'optional', group_fields: [] };
const notice = { id: 'n', kind: 'report_signed', version: 1, recipient: { id: 'kita', name: '北 健二', role: 'referrer', site: '' }, deliveries: [], read_at_ms: null, delivered_at_ms: 1, acknowledged_at_ms: null } as unknown as Notice;

it('is drawn, and counts as read, once its codes have words', async () => {
  const request = requestWith({ state: 'final', report_status: 'final', reports: [exampleVersion], notices: [notice] });
  rendered = await render(<ReportPage />, { data: [[keys.request('q'), request], [keys.report('rep'), { versions: [exampleVersion], acknowledgements: [] }]] });
  expect(rendered.page.textContent).toContain(ja.common.loading);
  expect(rendered.page.textContent).not.toContain('observe_local');
  expect(rendered.button(ja.report.acknowledge)).toBeUndefined();
  expect(readNotification).not.toHaveBeenCalled();
  await act(async () => rendered.queries.setQueryData(['templates'], { items: [{ id: 'disposition', version: '1.0.0', kind: 'disposition', title: observe.label, fields: [observe] }] }));
  expect(rendered.page.textContent).toContain('自院で経過観察');
  expect(rendered.page.textContent).not.toContain('observe_local');
  expect(rendered.button(ja.report.acknowledge)).toBeDefined();
  expect(readNotification).toHaveBeenCalledWith('n');
});

it('draws a version that comes while the page is open, and takes it for read when someone says so', async () => {
  vi.mocked(readNotification).mockClear();
  const second = { ...exampleVersion, id: 'v2', version: 2 };
  const request = requestWith({ state: 'final', report_status: 'final', reports: [exampleVersion], notices: [{ ...notice, read_at_ms: 2 }] });
  const templates = { items: [{ id: 'disposition', version: '1.0.0', kind: 'disposition', title: observe.label, fields: [observe] }] };
  rendered = await render(<ReportPage />, { data: [[['templates'], templates], [keys.request('q'), request], [keys.report('rep'), { versions: [exampleVersion], acknowledgements: [] }]] });
  expect(rendered.page.textContent).not.toContain(ja.report.newVersion(2));
  const grown = { ...request, reports: [exampleVersion, second], notices: [...request.notices, { ...notice, id: 'n2', version: 2 }] };
  await act(async () => rendered.queries.setQueryData(keys.request('q'), grown));
  expect(rendered.page.textContent).toContain(ja.report.newVersion(2));
  expect(readNotification).not.toHaveBeenCalled();
  expect(rendered.button(ja.report.acknowledge), 'not before it was looked at').toBeUndefined();
  await act(async () => rendered.button(ja.report.newSeen)?.click());
  expect(readNotification).toHaveBeenCalledWith('n2');
  expect(rendered.page.textContent).not.toContain(ja.report.newVersion(2));
  expect(rendered.button(ja.report.acknowledge)).toBeDefined();
});
