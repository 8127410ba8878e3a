import type { FieldDefinition, FieldValue, FieldValues } from '../../api/types.ts';

/** Conditions of the relay's definitions; what is not understood is shown, because asking too much is harmless. */
interface Condition {
  field?: string;
  has?: string[];
  above?: number;
  of?: string;
  missing?: string[];
}

export interface Around {
  values: FieldValues;
  context: FieldValues;
}

/** Whether a field belongs on the form now. Only fields that hang on another answer are hidden. */
export function isAsked(definition: FieldDefinition, { values, context }: Around): boolean {
  const { field, has, above, of } = (definition.condition ?? {}) as Condition;
  if (!field) return true;
  const other = (of === 'context' ? context : values)[field] ?? null;
  if (has) return codesOf(other).some((code) => has.includes(code));
  if (typeof above === 'number') return typeof other === 'number' && other > above;
  return true;
}

/** Whether a field that is asked has to be answered now, as the relay decides it when the report is signed. */
export function isRequired(definition: FieldDefinition, around: Around): boolean {
  if (definition.required !== 'conditional') return definition.required === 'always';
  const { missing } = (definition.condition ?? {}) as Condition;
  return missing ? missing.every((field) => isUnanswered(around.values[field] ?? null)) : isAsked(definition, around);
}

export function isUnanswered(value: FieldValue): boolean {
  return value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

function codesOf(value: FieldValue): string[] {
  if (value === null) return [];
  return Array.isArray(value) ? value.map(String) : [String(value)];
}
