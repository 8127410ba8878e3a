import type { FieldDefinition, FieldValue, FieldValues } from '../../api/types.ts';

/** Conditions of the relay's definitions; what is not understood is shown, because asking too much is harmless. */
interface Condition {
  field?: string;
  has?: string[];
  above?: number;
  of?: string;
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

function codesOf(value: FieldValue): string[] {
  if (value === null) return [];
  return Array.isArray(value) ? value.map(String) : [String(value)];
}
