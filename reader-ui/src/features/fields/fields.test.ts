import { describe, expect, it } from 'vitest';
import type { FieldDefinition, FieldValues } from '../../api/types.ts';
import { en } from '../../strings/en.ts';
import { ja } from '../../strings/ja.ts';
import { isAsked, isRequired } from './condition.ts';
import { exclusiveNone } from './exclusive-none.ts';
import { answered, asInstant, calcText, fieldText, parseNumber, reasonText } from './field-text.ts';
import { sortTemplates } from './templates.ts';

const field = (patch: Partial<FieldDefinition>): FieldDefinition => ({ id: 'x', label: { ja: '血腫径A', en: 'A' }, type: 'dec', required: 'always', ...patch });

describe('numbers', () => {
  const mm = field({ min: 0, max: 150, decimals: 1 });

  it('are taken in the width they are typed in', () => {
    expect(parseNumber('52', mm)).toBe(52);
    expect(parseNumber('５２．５', mm)).toBe(52.5);
    expect(parseNumber(' ', mm)).toBeNull();
  });

  it('are refused outside their range or form', () => {
    for (const text of ['151', '-1', '5,2', 'abc', '1e2', '--']) expect(parseNumber(text, mm)).toBeUndefined();
    expect(parseNumber('2.5', field({ type: 'int' }))).toBeUndefined();
  });
});

describe('the form as JSON', () => {
  it('holds only what someone answered', () => {
    expect(answered({ a: 0, b: false, c: '', d: null, e: [], f: { g: null }, h: { i: 'absent', j: '' } })).toEqual({ a: 0, b: false, h: { i: 'absent' } });
  });

  it('takes instants back in both forms', () => {
    expect(asInstant(1_000)).toBe(1_000);
    expect(asInstant('1970-01-01T00:00:01Z')).toBe(1_000);
    expect(asInstant('soon')).toBeNull();
  });

  it('never holds "none" beside a finding', () => {
    expect(exclusiveNone(['none'], ['none', 'aphasia'])).toEqual(['aphasia']);
    expect(exclusiveNone(['aphasia'], ['aphasia', 'none'])).toEqual(['none']);
  });
});

describe('conditions', () => {
  it('make a field required only while they hold', () => {
    const around = (values: object) => ({ values: values as FieldValues, context: {} });
    const diameter = field({ required: 'conditional', condition: { missing: ['volume_direct_ml'] } });
    for (const values of [{}, { volume_direct_ml: null }, { volume_direct_ml: '' }]) expect(isRequired(diameter, around(values))).toBe(true);
    expect(isRequired(diameter, around({ volume_direct_ml: 30 }))).toBe(false);
    expect(isRequired(field({ required: 'conditional', condition: { field: 'ivh', has: ['present'] } }), around({ ivh: 'present' }))).toBe(true);
    expect(isRequired(field({ required: 'optional', condition: { field: 'ivh', has: ['present'] } }), around({ ivh: 'present' }))).toBe(false);
    expect(isRequired(field({ required: 'always' }), around({}))).toBe(true);
  });

  const extent = field({ condition: { field: 'ivh', has: ['present'] } });

  it('ask a field only after the answer it hangs on', () => {
    expect(isAsked(extent, { values: {}, context: {} })).toBe(false);
    expect(isAsked(extent, { values: { ivh: 'present' }, context: {} })).toBe(true);
  });

  it('can look at the clinical context and at numbers', () => {
    expect(isAsked(field({ condition: { field: 'request_template', has: ['trauma'], of: 'context' } }), { values: {}, context: { request_template: 'trauma' } })).toBe(true);
    expect(isAsked(field({ condition: { field: 'mls_mm', above: 0 } }), { values: { mls_mm: 0 }, context: {} })).toBe(false);
  });

  it('show what they do not understand', () => {
    expect(isAsked(field({ condition: { missing: ['volume_direct_ml'] } }), { values: {}, context: {} })).toBe(true);
  });
});

describe('values in words', () => {
  it('say that nothing was entered, and never "none"', () => {
    expect(fieldText(field({}), null, ja)).toBe('未入力');
    expect(fieldText(field({ type: 'bool' }), false, ja)).toBe('いいえ');
    expect(fieldText(field({ unit: 'mm[Hg]' }), 120, en)).toBe('120 mmHg');
  });

  it('give the reason of a missing score with the field by its name', () => {
    expect(reasonText('missing:mass.x', [field({ id: 'mass', type: 'group', group_fields: [field({})] })], ja)).toBe('血腫径A が未入力');
    expect(calcText({ value: null, reason: 'missing:x' }, field({ type: 'calc' }), ja)).toBeNull();
    expect(calcText({ value: 31.98 }, field({ type: 'calc', unit: 'mL' }), ja)).toBe('31.98 mL');
  });
});

describe('templates', () => {
  it('are sorted by what they are for', () => {
    const one = (id: string, kind: string, fields: FieldDefinition[] = []) => ({ id, kind, version: '1.0.0', title: { ja: id, en: id }, fields });
    const sorted = sortTemplates([one('ich', 'finding'), one('mass', 'block'), one('ctx', 'context', [field({ id: 'jcs' }), field({ id: 'door_dt' })])]);
    expect(sorted.findings.map(({ id }) => id)).toEqual(['ich']);
    expect(sorted.stateTold.map(({ id, required }) => [id, required])).toEqual([['jcs', 'optional']]);
  });
});
