import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Call, ReadingRequestDetail } from '../../api/types.ts';
import { en } from '../../strings/en.ts';
import { ja } from '../../strings/ja.ts';
import { callClockSinceMs, callSpan, contactsOf, readBackDiffers, telLink } from './call-facts.ts';
import { missingName } from './conversation-facts.ts';
import { emptyConversation, readConversation, toWire } from './conversation-form.ts';
import * as vocabulary from './vocabulary.ts';

describe('phone links', () => {
  it('hold digits and a leading plus only', () => {
    expect(telLink('0153-24-3201')).toBe('tel:0153243201');
    expect(telLink('＋81 153 24 3201')).toBe('tel:+81153243201');
    expect(telLink('0153-24-3201;post=1*#')).toBe('tel:01532432011');
  });

  it('offer the call-back number first and no number twice', () => {
    const request = {
      callback_number: '0153-24-3201',
      callback_person: '佐藤',
      requesting_site: { id: 's', code: 'NEM', name: '根室' },
      contacts: [
        { name: '代表', role: 'other', number: '0153243201', site: '根室' },
        { name: '救急', role: 'nurse', number: '0153-24-3299', site: '根室' },
      ],
    } as unknown as ReadingRequestDetail;
    expect(contactsOf(request).map(({ name }) => name)).toEqual(['佐藤', '救急']);
    // Nobody said that a physician answers there.
    expect(contactsOf(request)[0]?.role).toBe('callback');
    expect(vocabulary.calleeRoles).not.toContain('callback');
    for (const strings of [ja, en]) expect(strings.code('callback')).not.toBe('callback');
  });
});

describe('the read-back', () => {
  const call = (started_at_ms: number, readback_ok: boolean | null, state = 'closed') => ({ state, started_at_ms, conversation: { readback_ok } }) as unknown as Call;

  it('is that of the last call that has one', () => {
    expect(readBackDiffers({ calls: [] })).toBe(false);
    expect(readBackDiffers({ calls: [call(1, false)] })).toBe(true);
    expect(readBackDiffers({ calls: [call(2, true), call(1, false)] })).toBe(false);
    expect(readBackDiffers({ calls: [call(1, false), { ...call(2, null), conversation: null }] })).toBe(true);
  });

  it('does not count while the record is open', () => {
    expect(readBackDiffers({ calls: [call(1, false, 'readback_mismatch')] })).toBe(false);
  });
});

describe('the times of a call', () => {
  const call = (patch: object) => ({ started_at_ms: 11, dialed_at_ms: null, connected_at_ms: null, ended_at_ms: null, attempts: [], ...patch }) as unknown as Call;
  const dial = { attempt_no: 1, started_at_ms: 13, ended_at_ms: null, outcome: null };

  it('run from the answer to the end', () => {
    expect(callSpan(call({ dialed_at_ms: 13, connected_at_ms: 16, ended_at_ms: 26 }))).toEqual({ kind: 'talked', fromMs: 16, toMs: 26 });
    expect(callSpan(call({ dialed_at_ms: 13, ended_at_ms: 26 }))).toEqual({ kind: 'dialed', fromMs: 13, toMs: 26 });
    expect(callSpan(call({}))).toEqual({ kind: 'begun', fromMs: 11, toMs: null });
  });

  it('tick with the dial that rings, then with the conversation, and not in between', () => {
    expect(callClockSinceMs(call({}))).toBeNull();
    expect(callClockSinceMs(call({ dialed_at_ms: 13, attempts: [dial] }))).toBe(13);
    expect(callClockSinceMs(call({ dialed_at_ms: 13, attempts: [{ ...dial, ended_at_ms: 14, outcome: 'no_answer' }] }))).toBeNull();
    expect(callClockSinceMs(call({ dialed_at_ms: 13, connected_at_ms: 16, attempts: [{ ...dial, ended_at_ms: 16, outcome: 'connected' }] }))).toBe(16);
  });
});

describe('the missing list', () => {
  it('has a word for every field the relay can name', () => {
    const rules = readFileSync(new URL('../../../../relay/domain/src/call/conversation.rs', import.meta.url), 'utf8');
    const body = rules.slice(rules.indexOf('pub fn missing'), rules.indexOf('pub fn conveyed_as_bad_as'));
    const fields = [...body.matchAll(/, "([a-z_]+)"\);|^\s+"([a-z_]+)",$/gm)].map(([, one, two]) => one ?? two ?? '');
    expect(fields.length).toBeGreaterThan(11);
    for (const field of [...fields, 'late_entry_reason']) for (const strings of [ja, en]) expect(missingName(field, strings), field).toBeTruthy();
  });
});

describe('a conversation', () => {
  it('is sent without what is half written', () => {
    const wire = toWire({
      ...emptyConversation,
      parties: [
        { name: '齋藤', facility: 'KSN', role: 'reader' },
        { name: ' ', facility: 'NEM', role: '' },
      ],
      state_told: { jcs: 'II-10', sbp: null },
      questions_answers: [{ q: '', a: 'x' }, { q: '手術は', a: '' }],
      agreed_plan: { text: '', dispositions: ['observe_local'] },
      readback_ok: false,
    });
    expect(wire).toEqual({
      parties: [{ name: '齋藤', facility: 'KSN', role: 'reader' }],
      state_told: { jcs: 'II-10' },
      questions_answers: [{ q: '手術は', a: '' }],
      agreed_plan: { text: '', dispositions: ['observe_local'] },
      readback_ok: false,
    });
    expect(toWire(emptyConversation)).toEqual({ state_told: {} });
  });

  it('is read in the short forms other clients send', () => {
    const read = readConversation({ identity_confirmed: true, findings_conveyed: { text: '出血', criticality: 'crit_red' }, agreed_plan: ['transfer_requested'], family_informed: 'not_yet' });
    expect(read).toMatchObject({
      identity_confirmed: 'confirmed',
      findings_conveyed: '出血',
      agreed_plan: { text: '', dispositions: ['transfer_requested'] },
      family_informed: { state: 'not_yet' },
      questions_answers: [],
    });
  });
});

describe('codes', () => {
  it('all have words in both languages', () => {
    const { patientIdentifiers, ...coded } = vocabulary;
    for (const code of Object.values(coded).flat()) {
      expect(ja.code(code), code).not.toBe(code);
      expect(en.code(code), code).not.toBe(code);
    }
    for (const code of patientIdentifiers) expect([ja, en].every(({ call }) => call.patientByOptions[code])).toBe(true);
  });
});
