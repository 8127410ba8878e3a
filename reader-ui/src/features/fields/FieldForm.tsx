import { useId } from 'react';
import type { CalcValue, FieldDefinition, FieldProblem, FieldValue, FieldValues } from '../../api/types.ts';
import { fromLocalInput, toLocalInput } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Choice, Choices } from '../../ui/Choice.tsx';
import { CalcField } from './CalcField.tsx';
import { exclusiveNone } from './exclusive-none.ts';
import { asInstant } from './field-text.ts';
import { isAsked, isRequired, isUnanswered } from './condition.ts';
import { NumberField } from './NumberField.tsx';

interface FormProps {
  fields: readonly FieldDefinition[];
  values: FieldValues;
  disabled?: boolean;
  calc?: Record<string, CalcValue> | undefined;
  problems?: readonly FieldProblem[] | undefined;
  /** All fields of the template, to name the inputs a computed value lacks. */
  allFields?: readonly FieldDefinition[] | undefined;
  prefix?: string;
  /** Clinical context of the request: some fields are asked only for some requests. */
  context?: FieldValues | undefined;
  onChange(values: FieldValues): void;
}

const noContext: FieldValues = {};

/** A form made from definitions: findings templates, clinical context, patient state, dispositions. */
export function FieldForm({ fields, values, disabled = false, calc, problems, allFields = fields, prefix = '', context = noContext, onChange }: FormProps) {
  const set = (id: string, value: FieldValue) => onChange({ ...values, [id]: value });
  return (
    <div className="grid grid-cols-3 gap-x-3 gap-y-3">
      {fields.filter((definition) => isAsked(definition, { values, context })).map((definition) => {
        const path = `${prefix}${definition.id}`;
        if (definition.type === 'calc') {
          return <CalcField key={definition.id} definition={definition} calc={calc?.[path] ?? calc?.[definition.id]} fields={allFields} />;
        }
        return (
          <FieldRow
            key={definition.id}
            definition={definition}
            required={isRequired(definition, { values, context })}
            value={values[definition.id] ?? null}
            disabled={disabled}
            problem={problems?.find(({ field }) => field === path || field === definition.id)}
            nested={{ calc, problems, allFields, context, prefix: `${path}.` }}
            onChange={(value) => set(definition.id, value)}
          />
        );
      })}
    </div>
  );
}

/** Numbers stand three in a row; everything else has a row of its own. */
const short = new Set<FieldDefinition['type']>(['int', 'dec']);

interface RowProps {
  definition: FieldDefinition;
  required: boolean;
  value: FieldValue;
  disabled: boolean;
  problem: FieldProblem | undefined;
  nested: Pick<FormProps, 'calc' | 'problems' | 'allFields' | 'context' | 'prefix'>;
  onChange(value: FieldValue): void;
}

function FieldRow({ definition, required, value, disabled, problem, nested, onChange }: RowProps) {
  const strings = useStrings();
  const id = useId();
  const { language } = strings;
  const label = definition.label[language];
  if (definition.type === 'group') {
    return (
      <fieldset className="col-span-full min-w-0 rounded-md border border-line px-3 pt-1 pb-3">
        <legend className="px-1 text-xs font-semibold text-soft">{label}</legend>
        <FieldForm {...nested} fields={definition.group_fields ?? []} values={asValues(value)} disabled={disabled} onChange={onChange} />
      </fieldset>
    );
  }
  if (definition.type === 'list') {
    return <ListField definition={definition} rows={Array.isArray(value) ? value : []} disabled={disabled} onChange={onChange} />;
  }
  const unanswered = isUnanswered(value);
  return (
    <div className={`flex min-w-0 flex-col gap-1 ${short.has(definition.type) ? '' : 'col-span-full'}`}>
      <label htmlFor={id} className="flex items-baseline gap-2 text-xs text-soft">
        {label}
        {required && unanswered && <span className="text-orange">{strings.common.required}</span>}
      </label>
      <Control id={id} definition={definition} value={value} disabled={disabled} onChange={onChange} />
      {problem && problem.severity !== 'missing' && !unanswered && <p className="text-xs text-red">{language === 'ja' ? problem.message_ja : problem.message_en}</p>}
    </div>
  );
}

const fewOptions = 16;

interface ControlProps {
  id: string;
  definition: FieldDefinition;
  value: FieldValue;
  disabled: boolean;
  onChange(value: FieldValue): void;
}

function Control({ id, definition, value, disabled, onChange }: ControlProps) {
  const strings = useStrings();
  const { language } = strings;
  const label = definition.label[language];
  const options = (definition.options ?? []).map((option) => ({ code: option.code, label: option.label[language] }));
  switch (definition.type) {
    case 'int':
    case 'dec':
      return <NumberField id={id} definition={definition} value={typeof value === 'number' ? value : null} disabled={disabled} onChange={onChange} />;
    case 'bool': {
      const yesNo = [
        { code: 'true', label: strings.common.yes },
        { code: 'false', label: strings.common.no },
      ];
      const chosen = typeof value === 'boolean' ? String(value) : null;
      return <Choice label={label} options={yesNo} value={chosen} disabled={disabled} onChange={(next) => onChange(next === null ? null : next === 'true')} />;
    }
    case 'multi':
      return <Choices label={label} options={options} values={asCodes(value)} disabled={disabled} onChange={(codes) => onChange(exclusiveNone(asCodes(value), codes))} />;
    case 'enum':
      if (options.length <= fewOptions) {
        return <Choice label={label} options={options} value={value === null ? null : String(value)} disabled={disabled} onChange={onChange} />;
      }
      return (
        <select id={id} value={value === null ? '' : String(value)} disabled={disabled} onChange={(event) => onChange(event.target.value || null)} className="field">
          <option value="">{strings.common.choose}</option>
          {options.map((option) => (
            <option key={option.code} value={option.code}>
              {option.label}
            </option>
          ))}
        </select>
      );
    case 'dt':
      return (
        <input
          id={id}
          type="datetime-local"
          value={toLocalInput(asInstant(value))}
          disabled={disabled}
          onChange={(event) => onChange(fromLocalInput(event.target.value))}
          className="field !w-56"
        />
      );
    default:
      return <textarea id={id} rows={2} value={typeof value === 'string' ? value : ''} disabled={disabled} onChange={(event) => onChange(event.target.value)} className="field" />;
  }
}

function ListField({ definition, rows, disabled, onChange }: { definition: FieldDefinition; rows: FieldValue[]; disabled: boolean; onChange(value: FieldValue): void }) {
  const strings = useStrings();
  return (
    <fieldset className="col-span-full min-w-0 rounded-md border border-line px-3 pt-1 pb-3">
      <legend className="px-1 text-xs font-semibold text-soft">{definition.label[strings.language]}</legend>
      <div className="flex flex-col gap-3">
        {rows.map((row, index) => (
          // Rows have no identity of their own and are only added at the end or taken out.
          // oxlint-disable-next-line react/no-array-index-key
          <div key={index} className="flex items-start gap-2 border-b border-line pb-3">
            <div className="flex-1">
              <FieldForm
                fields={definition.group_fields ?? []}
                values={asValues(row)}
                disabled={disabled}
                onChange={(next) => onChange(rows.map((old, at) => (at === index ? next : old)))}
              />
            </div>
            <Button small kind="quiet" disabled={disabled} onClick={() => onChange(rows.filter((_, at) => at !== index))}>
              {strings.common.remove}
            </Button>
          </div>
        ))}
        <Button small disabled={disabled} className="w-fit" onClick={() => onChange([...rows, {}])}>
          + {definition.label[strings.language]}
        </Button>
      </div>
    </fieldset>
  );
}

function asValues(value: FieldValue): FieldValues {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

function asCodes(value: FieldValue): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
