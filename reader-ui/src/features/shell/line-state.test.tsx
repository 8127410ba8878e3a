// @vitest-environment happy-dom
import { beforeEach, expect, it } from 'vitest';
import { serverNow } from '../../lib/server-clock.ts';
import { ja } from '../../strings/ja.ts';
import { render } from '../../testing/render.tsx';
import { LineState, OfflineBanner } from './Shell.tsx';

beforeEach(() => localStorage.clear());

async function shown(connected: boolean | null, lostSinceMs: number | null): Promise<string> {
  const { page, leave } = await render(<LineState connected={connected} lostSinceMs={lostSinceMs} />);
  const text = page.textContent ?? '';
  leave();
  return text;
}

it('says that the line is lost and for how long, and nowhere that it is connected', async () => {
  const text = await shown(false, serverNow() - 65_000);
  expect(text).toBe(`${ja.live.lost}1:05`);
  expect(text).not.toContain(ja.live.connected);
  expect(await shown(true, null)).toBe(ja.live.connected);
  expect(await shown(null, null)).toBe(ja.live.connecting);
});

it('takes no place on the page for a line that has only just gone', async () => {
  const banner = async (sinceMs: number | null) => {
    const { page, leave } = await render(<OfflineBanner sinceMs={sinceMs} />);
    const text = page.textContent ?? '';
    leave();
    return text;
  };
  expect(await banner(serverNow() - 1_000)).toBe('');
  expect(await banner(serverNow() - 60_000)).toContain(ja.live.offline);
  expect(await banner(null)).toContain(ja.live.offline);
});
