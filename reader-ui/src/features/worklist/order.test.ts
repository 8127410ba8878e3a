import { describe, expect, it } from 'vitest';
import type { FieldDefinition, ReadingRequestSummary } from '../../api/types.ts';
import { en } from '../../strings/en.ts';
import { ja } from '../../strings/ja.ts';
import { urgencyTone } from '../../ui/Badge.tsx';
import { warningsOf } from './WorklistRow.tsx';
import { birthLine, byUrgencyAndWait, isClaimable, nextDue } from './order.ts';

const request = (patch: object): ReadingRequestSummary =>
  ({
    urgency: 'urgent',
    requested_at_ms: 0,
    case_code: '4723',
    claim: null,
    report_status: null,
    due: { open_by_ms: 1, verbal_by_ms: 2, verbal_answered_at_ms: null, written_by_ms: 3 },
    requesting_site: { id: 's', code: 'NEM', name: '根室市立病院' },
    patient: { name: { alphabetic: 'YAMADA^TARO', ideographic: '山田^太郎', phonetic: 'やまだ^たろう' }, patient_id: 'NMR-004211' },
    ...patch,
  }) as ReadingRequestSummary;

describe('the reading worklist', () => {
  it('has the most urgent first, then the longest waiting', () => {
    const items = [
      request({ case_code: 'c', urgency: 'routine', requested_at_ms: 1 }),
      request({ case_code: 'b', urgency: 'stroke_code', requested_at_ms: 9 }),
      request({ case_code: 'a', urgency: 'stroke_code', requested_at_ms: 5 }),
      request({ case_code: 'd', urgency: 'critical', requested_at_ms: 0 }),
    ];
    expect(items.toSorted(byUrgencyAndWait).map(({ case_code }) => case_code)).toEqual(['a', 'b', 'd', 'c']);
  });

  it.each(['requested', 'readable', 'returned', 'preliminary', 'reopened'])('offers a case that is %s and nobody has', (state) => {
    expect(isClaimable(request({ state }))).toBe(true);
    expect(isClaimable(request({ state, claim: { reader: { id: 'r', name: '' }, claimed_at_ms: 0, lease_until_ms: 1 } }))).toBe(false);
  });

  it.each(['claimed', 'final', 'acknowledged', 'cancelled'])('does not offer a case that is %s', (state) => {
    expect(isClaimable(request({ state }))).toBe(false);
  });

  it('writes a birth date with its era for a Japanese reader, and nothing it does not know', () => {
    const born = { ...request({}).patient, birth_date: '19480312', birth_date_era: '昭和23年', sex: 'M', age_years: 77 };
    expect(birthLine(born, ja)).toBe('77歳 男 1948-03-12(昭和23年)');
    expect(birthLine(born, en)).toBe('77 y M 1948-03-12');
    expect(birthLine({ ...born, birth_date: '18600101', birth_date_era: null, age_years: null }, ja)).toBe('男 1860-01-01');
    expect(birthLine({ ...born, birth_date: null, birth_date_era: null, sex: null, age_years: null }, ja)).toBe('生年月日不明');
  });
});

describe('the warnings of a line', () => {
  it('give the number of images held back, in the words of the node that sent them', () => {
    const held = request({ warnings: ['patient_mismatch_held', 'name_uncertain', 'text_uncertain'], missing_context: [], arrival: { held: 8 } });
    expect(warningsOf(held, [], en)).toEqual(['8 images held back: another patient under the same Study Instance UID', 'Characters beyond the declared character set']);
    expect(warningsOf(held, [], ja)[0]).toContain('8枚');
  });

  it('name what the requesting site has not told', () => {
    const fields = ['jcs', 'sbp', 'dbp', 'lkw_dt'].map((id) => ({ id, label: { ja: `${id}の項目`, en: id.toUpperCase() } }) as FieldDefinition);
    const missing = (ids: string[], strings: typeof ja) => warningsOf(request({ warnings: [], missing_context: ids }), fields, strings);
    expect(missing(['jcs', 'sbp'], ja)).toEqual(['臨床情報未入力: jcsの項目、sbpの項目']);
    expect(missing(['jcs', 'sbp', 'dbp', 'lkw_dt', 'of_a_newer_form'], ja)).toEqual(['臨床情報未入力: jcsの項目、sbpの項目、dbpの項目 ほか2項目']);
    expect(missing(['jcs', 'of_a_newer_form'], en)).toEqual(['Not entered: JCS, of_a_newer_form']);
    expect(missing(['callback_number'], ja)).toEqual([]);
  });
});

describe('the badge of an urgency', () => {
  it('is red for a request that is stat, which its words say too', () => {
    for (const urgency of ['stroke_code', 'critical']) {
      expect(urgencyTone(urgency)).toBe('red');
      expect(ja.code(urgency)).toContain('至急');
      expect(en.code(urgency)).toContain('Stat');
    }
    for (const urgency of ['urgent', 'routine', 'elective']) expect(urgencyTone(urgency)).not.toBe('red');
  });
});

describe('the clock that runs', () => {
  it('is the opening until someone has claimed, then the phone, then the report', () => {
    const claim = { reader: { id: 'r', name: 'r' }, claimed_at_ms: 0, lease_until_ms: 0 };
    expect(nextDue(request({}))).toEqual({ kind: 'open_by', atMs: 1 });
    expect(nextDue(request({ claim }))).toEqual({ kind: 'verbal_by', atMs: 2 });
    expect(nextDue(request({ claim, due: { open_by_ms: 1, verbal_by_ms: null, verbal_answered_at_ms: null, written_by_ms: 3 } }))).toEqual({ kind: 'written_by', atMs: 3 });
    // The call is on record: the phone clock stops and the written one shows.
    expect(nextDue(request({ claim, due: { open_by_ms: 1, verbal_by_ms: 2, verbal_answered_at_ms: 9, written_by_ms: 3 } }))).toEqual({ kind: 'written_by', atMs: 3 });
    for (const report_status of ['final', 'addended', 'corrected']) expect(nextDue(request({ report_status }))).toBeNull();
  });

  it('is the phone until somebody was told, also after a preliminary report', () => {
    const due = { open_by_ms: 1, verbal_by_ms: 2, verbal_answered_at_ms: null, written_by_ms: 3 };
    expect(nextDue(request({ report_status: 'preliminary', due }))).toEqual({ kind: 'verbal_by', atMs: 2 });
    expect(nextDue(request({ report_status: 'preliminary', due: { ...due, verbal_answered_at_ms: 9 } }))).toBeNull();
    expect(nextDue(request({ report_status: 'preliminary', due: { ...due, verbal_by_ms: null } }))).toBeNull();
  });

  it('rests while the site is asked for information', () => {
    expect(nextDue(request({ state: 'returned' }))).toBeNull();
  });
});
