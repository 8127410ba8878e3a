import { useEffect, useState } from 'react';
import type { FieldDefinition } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { parseNumber } from './field-text.ts';
import { unitText } from './units.ts';

interface Props {
  id: string;
  definition: FieldDefinition;
  value: number | null;
  disabled: boolean;
  describedBy?: string | undefined;
  onChange(value: number | null): void;
}

/** Keeps what is being typed; gives out a number only when it is one the field allows. Full-width digits are taken. */
export function NumberField({ id, definition, value, disabled, describedBy, onChange }: Props) {
  const [text, setText] = useState(value === null ? '' : String(value));
  const parsed = parseNumber(text, definition);
  useEffect(() => {
    setText((now) => (parseNumber(now, definition) === value ? now : value === null ? '' : String(value)));
  }, [value, definition]);
  const { language } = useStrings();
  const { min, max, unit } = definition;
  const range = typeof min === 'number' && typeof max === 'number' ? `${min}–${max}` : '';
  return (
    <span className="flex items-center gap-1.5">
      <input
        id={id}
        inputMode="decimal"
        autoComplete="off"
        value={text}
        disabled={disabled}
        aria-invalid={parsed === undefined}
        aria-describedby={describedBy}
        onChange={(event) => {
          setText(event.target.value);
          const next = parseNumber(event.target.value, definition);
          if (next !== undefined) onChange(next);
        }}
        className="field !w-20 min-w-0"
        placeholder={range}
      />
      {unit && <span className="text-xs text-muted">{unitText(unit, language)}</span>}
      {parsed === undefined && <span className="text-xs text-red">{range || '!'}</span>}
    </span>
  );
}
