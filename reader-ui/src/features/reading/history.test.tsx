// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { keys } from '../../api/queries.ts';
import type { Notice } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { exampleVersion } from '../../testing/example-report.ts';
import { readerSession, requestWith } from '../../testing/example-request.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { HistoryPanel } from './HistoryPanel.tsx';

vi.mock('../../api/client.ts', () => ({ getReport: vi.fn() }));

let rendered: Rendered;
beforeEach(() => localStorage.clear());
afterEach(() => rendered.leave());

it('tells the reader what the requesting site answered, in its own words', async () => {
  const notice = { id: 'n', version: 1, recipient: { id: 'kita', name: '北 健二', role: 'referrer', site: '根室診療所' }, deliveries: [], delivered_at_ms: 1, read_at_ms: null, read_by: null, acknowledged_at_ms: null, acknowledged_by: null } as unknown as Notice;
  const acknowledgement = { version: 1, action_taken: 'transfer', comment: '21時にヘリで搬送します', acknowledged_at_ms: 1, acknowledged_by: { id: 'kita', name: '北 健二' } };
  rendered = await render(<HistoryPanel request={requestWith({ reports: [exampleVersion], notices: [notice] })} />, {
    session: readerSession,
    data: [[keys.report('rep'), { versions: [exampleVersion], acknowledgements: [acknowledgement] }]],
  });
  const text = rendered.page.textContent ?? '';
  for (const part of ['21時にヘリで搬送します', ja.code('transfer'), '北 健二', `${ja.reading.delivered} ${ja.reading.happened}`, `${ja.reading.read} ${ja.reading.notYet}`, `${ja.reading.acknowledgedFact} ${ja.reading.notYet}`]) expect(text).toContain(part);
});
