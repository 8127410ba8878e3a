// @vitest-environment happy-dom
import { beforeEach, expect, it } from 'vitest';
import type { ReadingRequestDetail } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { readerSession, requestWith } from '../../testing/example-request.ts';
import { render } from '../../testing/render.tsx';
import { NotMine } from './NotMine.tsx';

beforeEach(() => localStorage.clear());

async function told(patch: Partial<ReadingRequestDetail>): Promise<string> {
  const { page, leave } = await render(<NotMine request={requestWith(patch)} />, { session: readerSession });
  const text = page.textContent ?? '';
  leave();
  return text;
}

it('says who has the case and what that closes, what to do about one that nobody has, and nothing where neither helps', async () => {
  const claim = { reader: { id: 'other', name: '伊藤 学' }, claimed_at_ms: 0, lease_until_ms: 1 };
  expect(await told({ state: 'claimed', claim })).toBe(ja.reading.claimedBy('伊藤 学'));
  expect(await told({})).toBe(ja.reading.notClaimed);
  expect(await told({ state: 'final' })).toBe('');
});
