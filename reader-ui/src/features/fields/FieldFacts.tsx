import type { FieldDefinition, FieldValues } from '../../api/types.ts';
import { safeText } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import { Fact } from '../../ui/Fact.tsx';
import { fieldText } from './field-text.ts';

interface Props {
  fields: readonly FieldDefinition[];
  values: FieldValues;
  /** Leaves out what was not entered; else it is shown as not entered. */
  answeredOnly?: boolean;
}

export function FieldFacts({ fields, values, answeredOnly = false }: Props) {
  const strings = useStrings();
  const has = ({ id }: FieldDefinition) => {
    const value = values[id];
    return value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0);
  };
  return (
    <dl className="grid grid-cols-2 gap-x-4 gap-y-2 sm:grid-cols-3">
      {fields
        .filter((field) => field.type !== 'calc' && (!answeredOnly || has(field)))
        .map((field) => (
          <div key={field.id} className={field.type === 'text' || field.type === 'list' || field.type === 'group' || field.type === 'multi' ? 'col-span-full' : ''}>
            <Fact label={field.label[strings.language]}>
              <bdi className={has(field) ? 'whitespace-pre-wrap' : 'text-muted'}>{safeLines(fieldText(field, values[field.id], strings))}</bdi>
            </Fact>
          </div>
        ))}
    </dl>
  );
}

/** Line breaks of a free text are meant; every other control character is not. */
export function safeLines(text: string): string {
  return text.split('\n').map(safeText).join('\n');
}
