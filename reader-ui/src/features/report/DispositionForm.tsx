import type { Disposition, FieldDefinition } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { FieldForm } from '../fields/FieldForm.tsx';

interface Props {
  chosen: readonly Disposition[];
  /** One group field per kind of disposition. */
  definitions: readonly FieldDefinition[];
  disabled: boolean;
  onChange(dispositions: Disposition[]): void;
}

/** Only a user of the receiving facility may answer a transfer; a reader recommends one. */
const answeredElsewhere = new Set(['transfer_accepted', 'transfer_declined']);

export function DispositionForm({ chosen, definitions, disabled, onChange }: Props) {
  const { findings, language, common } = useStrings();
  const free = definitions.filter(({ id }) => !answeredElsewhere.has(id) && !chosen.some(({ code }) => code === id));
  return (
    <section aria-label={findings.disposition} className="flex flex-col gap-2">
      <h3 className="flex items-baseline gap-2 text-xs text-soft">
        {findings.disposition}
        {chosen.length === 0 && <span className="text-orange">{common.required}</span>}
      </h3>
      {chosen.map((disposition, index) => {
        const definition = definitions.find(({ id }) => id === disposition.code);
        const { code, ...values } = disposition;
        return (
          <div key={code} className="rounded-md border border-line-strong p-3">
            <div className="mb-2 flex items-center">
              <h4 className="text-sm font-semibold">{definition?.label[language] ?? code}</h4>
              <Button small kind="quiet" className="ml-auto" disabled={disabled} onClick={() => onChange(chosen.filter((_, at) => at !== index))}>
                {common.remove}
              </Button>
            </div>
            <FieldForm
              fields={definition?.group_fields ?? []}
              values={values}
              disabled={disabled}
              onChange={(next) => onChange(chosen.map((old, at) => (at === index ? { ...next, code } : old)))}
            />
          </div>
        );
      })}
      <div className="flex flex-wrap gap-1">
        {free.map(({ id, label }) => (
          <Button key={id} small disabled={disabled} onClick={() => onChange([...chosen, { code: id }])}>
            + {label[language]}
          </Button>
        ))}
      </div>
    </section>
  );
}
