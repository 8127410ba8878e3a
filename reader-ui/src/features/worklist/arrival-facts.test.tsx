// @vitest-environment happy-dom
import { renderToStaticMarkup } from 'react-dom/server';
import { beforeEach, describe, expect, it } from 'vitest';
import type { StudyProgress } from '../../api/live.ts';
import type { Arrival, ReadingRequestSummary } from '../../api/types.ts';
import { serverNow } from '../../lib/server-clock.ts';
import { en } from '../../strings/en.ts';
import { ja } from '../../strings/ja.ts';
import { LanguageProvider } from '../../strings/language.tsx';
import { withProgress } from '../live/patch-progress.ts';
import { DueClock } from './DueClock.tsx';
import { ArrivalBadge } from './ArrivalBadge.tsx';
import { arrivalFacts, isComplete, withheldText } from './arrival-facts.ts';

beforeEach(() => localStorage.clear());

const now = 1_769_100_000_000;
const arriving: Arrival = {
  announced: 245,
  received: 245,
  verified: 212,
  previews: 20,
  held: 0,
  closed: true,
  withheld: [],
  bytes_per_s: 175_000,
  remaining_ms: 38_400,
  last_data_at_ms: now - 2_500,
  first_arrival_at_ms: now - 60_000,
  last_arrival_at_ms: now - 5_000,
  bytes: 1,
};

describe('how far a study is', () => {
  it('is said with previews, rate, time left and the age of the last byte, in both languages', () => {
    expect(arrivalFacts(arriving, now, ja)).toEqual(['一覧 245 枚', 'プレビューのみ 20 枚', '1.4 Mbit/s', '残り約 39 秒', '最終受信 3 秒前']);
    expect(arrivalFacts(arriving, now, en)).toEqual(['245 listed', '20 as preview only', '1.4 Mbit/s', 'about 39 s left', 'last data 3 s ago']);
  });

  it('promises no time while nothing comes, even when the last rate is still known', () => {
    const facts = arrivalFacts(arriving, now + 60_000, ja);
    expect(facts).toContain('受信が止まっています');
    expect(facts).toContain('最終受信 63 秒前');
    expect(facts.join()).not.toMatch(/残り|Mbit/);
  });

  it('says so when it is too early to tell, and nothing at all before the first byte', () => {
    expect(arrivalFacts({ ...arriving, bytes_per_s: null, remaining_ms: null }, now, en)).toContain('measuring the rate');
    expect(arrivalFacts({ ...arriving, received: 0, verified: 0, previews: 0, last_data_at_ms: null }, now, en)).toEqual([]);
  });

  it('is complete only when the site expects no more and all of it is verified', () => {
    const whole = { ...arriving, verified: 245, previews: 0 };
    expect(isComplete(whole)).toBe(true);
    expect(arrivalFacts(whole, now, ja)).toEqual([]);
    expect(isComplete({ ...whole, closed: false })).toBe(false);
    expect(isComplete({ ...whole, announced: null })).toBe(false);
    expect(isComplete(arriving)).toBe(false);
  });

  it('is never complete while the hospital keeps images of it back, and says how many and why', () => {
    const kept = { ...arriving, verified: 245, previews: 0, withheld: [{ reason: 'patient_differs', n_instances: 3 }] };
    expect(isComplete(kept)).toBe(false);
    expect(arrivalFacts(kept, now, ja)).toEqual([]);
    expect(withheldText(kept, ja)).toBe('依頼元の病院で画像 3 枚を保留中: 別の患者名');
    const two = { ...kept, withheld: [{ reason: 'unusable', n_instances: 1 }, { reason: 'of_a_newer_agent', n_instances: 2 }] };
    expect(withheldText(two, en)).toBe('3 images kept back at the hospital: 1 not readable, 2 for a reason of its own');
    expect(withheldText(arriving, en)).toBeNull();
    const shown = renderToStaticMarkup(
      <LanguageProvider>
        <ArrivalBadge arrival={kept} />
      </LanguageProvider>,
    );
    expect(shown).toContain('画像不足');
    // A sentence takes another line; it would push every other column off the screen.
    const chip = new RegExp(`class="([^"]*)"><span[^>]*>!</span>${withheldText(kept, ja)}`).exec(shown)?.[1];
    expect(chip).toContain('max-w-full');
    expect(chip).not.toContain('whitespace-nowrap');
    expect(shown).not.toMatch(/全画像|受信中/);
  });

  it('is never shown as complete while previews stand in for originals', () => {
    const shown = (arrival: Arrival) =>
      renderToStaticMarkup(
        <LanguageProvider>
          <ArrivalBadge arrival={arrival} />
        </LanguageProvider>,
      );
    const partial = shown({ ...arriving, last_data_at_ms: serverNow() });
    expect(partial).toContain('212 / 245 枚 検証済');
    expect(partial).toContain('受信中');
    expect(partial).toContain('プレビューのみ 20 枚');
    expect(partial).not.toContain('全画像');
    expect(shown({ ...arriving, verified: 245, previews: 0 })).toContain('全画像');
  });
});

describe('a due time', () => {
  it('is given in days from one day on, in the words of the language', () => {
    const page = renderToStaticMarkup(
      <LanguageProvider>
        <DueClock due={{ kind: 'written_by', atMs: serverNow() + 25 * 3_600_000 }} />
      </LanguageProvider>,
    );
    expect(page).toContain('>1日<');
  });
});

describe('an event about a study', () => {
  const request = { study: { id: 'a' }, arrival: arriving } as ReadingRequestSummary;
  const progress: StudyProgress = {
    study_id: 'a',
    announced: 245,
    received: 245,
    verified: 245,
    previews: 0,
    closed: true,
    withheld: [],
    bytes_per_s: null,
    remaining_ms: null,
    last_data_at_ms: now,
  };

  it('changes what is shown of it, and leaves what it does not tell', () => {
    const changed = withProgress(request, progress);
    expect(changed.arrival).toMatchObject({ verified: 245, previews: 0, bytes_per_s: null, last_data_at_ms: now, held: 0, bytes: 1 });
    expect(changed.arrival).not.toHaveProperty('study_id');
  });

  it('changes nothing of another one', () => {
    expect(withProgress(request, { ...progress, study_id: 'b' })).toBe(request);
  });
});
