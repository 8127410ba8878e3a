import type { CalcValue, FieldDefinition, FieldValue, FieldValues } from '../../api/types.ts';
import { dateTime } from '../../lib/dates.ts';
import type { Strings } from '../../strings/ja.ts';
import { unitText } from './units.ts';

/** A field's value in words; an unanswered field says so and is never read as "none". */
export function fieldText(definition: FieldDefinition, value: FieldValue | undefined, strings: Strings): string {
  if (value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)) return strings.common.notEntered;
  const { language } = strings;
  const name = (code: FieldValue) => definition.options?.find((option) => option.code === String(code))?.label[language] ?? String(code);
  switch (definition.type) {
    case 'bool':
      return value === true ? strings.common.yes : strings.common.no;
    case 'enum':
      return name(value);
    case 'multi':
      return strings.list((Array.isArray(value) ? value : [value]).map(name));
    case 'dt':
      return instantText(value, strings);
    case 'list':
      return (Array.isArray(value) ? value : []).map((row) => groupText(definition, row, strings)).join(' / ');
    case 'group':
      return groupText(definition, value, strings);
    default:
      return [String(value), unitText(definition.unit, language)].filter(Boolean).join(' ');
  }
}

/** Instants are sent as milliseconds and come back as RFC 3339 text. */
export function asInstant(value: FieldValue): number | null {
  if (value === null) return null;
  const atMs = typeof value === 'number' ? value : Date.parse(String(value));
  return Number.isNaN(atMs) ? null : atMs;
}

function instantText(value: FieldValue, strings: Strings): string {
  const atMs = asInstant(value);
  return atMs === null ? String(value) : dateTime(atMs, strings.language);
}

function groupText(definition: FieldDefinition, value: FieldValue, strings: Strings): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return String(value);
  const answered = (definition.group_fields ?? []).filter(({ id }) => value[id] !== undefined && value[id] !== null && value[id] !== '');
  return strings.list(answered.map((field) => `${field.label[strings.language]} ${fieldText(field, value[field.id], strings)}`));
}

/** A computed value with its unit, one decimal at most; null when there is none. */
export function calcText(calc: CalcValue | undefined, definition: FieldDefinition, strings: Strings): string | null {
  if (!calc || calc.value === null || calc.value === undefined) return null;
  if (calc.text) return calc.text[strings.language];
  if (typeof calc.value === 'boolean') return calc.value ? strings.common.yes : strings.common.no;
  const unit = calc.unit ?? definition.unit;
  const known = definition.options?.find(({ code }) => code === String(calc.value));
  const number = typeof calc.value === 'number' ? String(Math.round(calc.value * 100) / 100) : String(calc.value);
  return known?.label[strings.language] ?? [number, unitText(unit, strings.language)].filter(Boolean).join(' ');
}

/** Why a value could not be computed, with the missing field by its name: `missing:gcs_v`. */
export function reasonText(reason: string, fields: readonly FieldDefinition[], strings: Strings): string {
  const [kind, id] = reason.split(':');
  const label = findField(fields, id ?? '')?.label[strings.language] ?? id ?? '';
  if (kind === 'undefined') return strings.findings.notApplicable;
  if (kind === 'missing') return strings.findings.missingInput(label);
  if (kind === 'out_of_range') return strings.findings.outOfRange(label);
  return strings.findings.notAssessable(label);
}

function findField(fields: readonly FieldDefinition[], id: string): FieldDefinition | undefined {
  const last = id.split('.').at(-1);
  for (const field of fields) {
    const found = field.id === last ? field : findField(field.group_fields ?? [], id);
    if (found) return found;
  }
  return undefined;
}

/** The values without what nobody answered: a cleared number is absent, not zero. */
export function answered(values: FieldValues): FieldValues {
  const entries = Object.entries(values).flatMap(([id, value]): [string, FieldValue][] => {
    if (value === null || value === '' || (Array.isArray(value) && value.length === 0)) return [];
    if (typeof value !== 'object' || Array.isArray(value)) return [[id, value]];
    const inner = answered(value);
    return Object.keys(inner).length ? [[id, inner]] : [];
  });
  return Object.fromEntries(entries);
}

/** What a number field holds after typing: null when empty, undefined when it is no number of this field. */
export function parseNumber(text: string, definition: FieldDefinition): number | null | undefined {
  const plain = text.normalize('NFKC').trim();
  if (plain === '') return null;
  if (!/^-?\d+(?:\.\d+)?$/.test(plain)) return undefined;
  const value = Number(plain);
  if (definition.type === 'int' && !Number.isInteger(value)) return undefined;
  const { min, max } = definition;
  if (typeof min === 'number' && value < min) return undefined;
  if (typeof max === 'number' && value > max) return undefined;
  const decimals = definition.decimals ?? 3;
  return Math.round(value * 10 ** decimals) / 10 ** decimals;
}
