import type { FieldDefinition } from '../../api/types.ts';
import type { Strings } from '../../strings/ja.ts';

/** Not a field of the clinical context, and missing like one. */
export const callbackNumberId = 'callback_number';

/** The names of fields that are missing; of one that this page does not know, its id. */
export function missingLabels(ids: readonly string[], fields: readonly FieldDefinition[], { reading, language }: Strings): string[] {
  return ids.map((id) => (id === callbackNumberId ? reading.callbackNumber : (fields.find((field) => field.id === id)?.label[language] ?? id)));
}
