import { ToggleGroup } from 'radix-ui';

export interface ChoiceOption {
  code: string;
  label: string;
}

const item =
  'rounded-md border border-line-strong bg-void px-2.5 py-1 text-sm text-soft hover:bg-hover disabled:opacity-50 data-[state=on]:border-accent data-[state=on]:bg-accent-deep data-[state=on]:text-text';

interface OneProps {
  label: string;
  options: readonly ChoiceOption[];
  value: string | null;
  disabled?: boolean;
  onChange(value: string | null): void;
}

/** One of a few: nothing is chosen until someone chooses, and a choice can be taken back. */
export function Choice({ label, options, value, disabled = false, onChange }: OneProps) {
  return (
    <ToggleGroup.Root
      type="single"
      aria-label={label}
      value={value ?? ''}
      disabled={disabled}
      onValueChange={(next) => onChange(next === '' ? null : next)}
      className="flex flex-wrap gap-1"
    >
      {options.map((option) => (
        <ToggleGroup.Item key={option.code} value={option.code} className={item}>
          {option.label}
        </ToggleGroup.Item>
      ))}
    </ToggleGroup.Root>
  );
}

interface ManyProps {
  label: string;
  options: readonly ChoiceOption[];
  values: string[];
  disabled?: boolean;
  onChange(values: string[]): void;
}

export function Choices({ label, options, values, disabled = false, onChange }: ManyProps) {
  return (
    <ToggleGroup.Root
      type="multiple"
      role="group"
      aria-label={label}
      value={values}
      disabled={disabled}
      onValueChange={onChange}
      className="flex flex-wrap gap-1"
    >
      {options.map((option) => (
        <ToggleGroup.Item key={option.code} value={option.code} className={item}>
          {option.label}
        </ToggleGroup.Item>
      ))}
    </ToggleGroup.Root>
  );
}
