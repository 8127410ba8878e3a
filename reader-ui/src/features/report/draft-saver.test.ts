import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Problem } from '../../api/http.ts';
import type { Draft, Evaluation, ReportBody } from '../../api/types.ts';
import type { DraftTransport } from './draft-saver.ts';
import { DraftSaver } from './draft-saver.ts';
import { emptyBody } from './empty-body.ts';

const evaluation = { blocks: [], problems: [], narrative: { ja: '', en: '' } } as unknown as Evaluation;

/** A relay in memory that refuses a save on top of the wrong version. */
function relay() {
  let version = 0;
  let body: ReportBody = emptyBody;
  let saves = 0;
  const transport: DraftTransport = {
    save: async (_id, base, next) => {
      if (base !== version) throw new Problem(409, { code: 'draft_stale' });
      version += 1;
      saves += 1;
      body = next;
      return { version, saved_at_ms: 0, evaluation };
    },
    load: async () => ({ draft: { version, body, saved_at_ms: 0, evaluation } satisfies Draft }),
  };
  return { transport, saves: () => saves, body: () => body };
}

const type = (saver: DraftSaver, text: string) => saver.update((body) => ({ ...body, findings_text: text }));

describe('a draft', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('is on the relay within three seconds, however long someone types on', async () => {
    const { transport, saves, body } = relay();
    const saver = new DraftSaver('r', null, emptyBody, () => undefined, transport);
    for (let n = 0; n < 6; n += 1) {
      type(saver, `text ${n}`);
      await vi.advanceTimersByTimeAsync(500);
    }
    expect(saves()).toBeGreaterThan(0);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(body().findings_text).toBe('text 5');
    expect(saver.getState().status).toBe('saved');
  });

  it('keeps both texts when another screen has written', async () => {
    const { transport, body } = relay();
    const here = new DraftSaver('r', null, emptyBody, () => undefined, transport);
    const there = new DraftSaver('r', null, emptyBody, () => undefined, transport);
    type(there, 'theirs');
    await vi.advanceTimersByTimeAsync(1_500);
    type(here, 'mine');
    await vi.advanceTimersByTimeAsync(1_500);
    expect(here.getState()).toMatchObject({ status: 'conflict', body: { findings_text: 'mine' }, theirs: { body: { findings_text: 'theirs' } } });
    expect(body().findings_text).toBe('theirs');
    here.useMine();
    await vi.advanceTimersByTimeAsync(1_500);
    expect(body().findings_text).toBe('mine');
    expect(here.getState()).toMatchObject({ status: 'saved', theirs: null });
  });

  it('tries again after the line was lost, and says so meanwhile', async () => {
    const { transport, body } = relay();
    let down = true;
    const flaky: DraftTransport = { ...transport, save: (...args) => (down ? Promise.reject(new Problem(0, {})) : transport.save(...args)) };
    const saver = new DraftSaver('r', null, emptyBody, () => undefined, flaky);
    type(saver, 'kept');
    await vi.advanceTimersByTimeAsync(1_500);
    expect(saver.getState().status).toBe('failed');
    down = false;
    await vi.advanceTimersByTimeAsync(6_000);
    expect(body().findings_text).toBe('kept');
    expect(saver.getState().status).toBe('saved');
  });

  it('is not made by looking at a case', async () => {
    const { transport, saves } = relay();
    const saver = new DraftSaver('r', null, emptyBody, () => undefined, transport);
    await saver.flush();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(saves()).toBe(0);
  });

  const told = (version: number, findings: string, ok: boolean): Draft => ({
    version,
    saved_at_ms: 0,
    body: { ...emptyBody, findings_text: findings },
    evaluation: { ...evaluation, can_sign: { preliminary: { ok, blockers: [] }, final: { ok, blockers: [] } } },
  });

  it('shows what blocks signing as the relay says it now, without saving again', async () => {
    const { transport, saves } = relay();
    const saver = new DraftSaver('r', told(3, 'mine', false), emptyBody, () => undefined, transport);
    saver.adopt(told(3, 'mine', true));
    expect(saver.getState().evaluation?.can_sign.final.ok).toBe(true);
    saver.adopt(told(2, 'older', false));
    expect(saver.getState()).toMatchObject({ version: 3, body: { findings_text: 'mine' }, evaluation: { can_sign: { final: { ok: true } } } });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(saves()).toBe(0);
  });

  it('follows another screen while nothing is written here, and never over what is', () => {
    const { transport } = relay();
    const saver = new DraftSaver('r', told(1, 'old', false), emptyBody, () => undefined, transport);
    saver.adopt(told(2, 'theirs', false));
    expect(saver.getState()).toMatchObject({ version: 2, status: 'saved', body: { findings_text: 'theirs' } });
    type(saver, 'mine');
    saver.adopt(told(3, 'theirs, longer', false));
    expect(saver.getState()).toMatchObject({ version: 2, body: { findings_text: 'mine' } });
  });
});
