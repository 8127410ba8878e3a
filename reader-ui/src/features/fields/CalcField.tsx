import type { CalcValue, FieldDefinition } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { calcText, reasonText } from './field-text.ts';

interface Props {
  definition: FieldDefinition;
  calc: CalcValue | undefined;
  fields: readonly FieldDefinition[];
}

/** A value the relay computed: never typed, and with the reason when there is none. */
export function CalcField({ definition, calc, fields }: Props) {
  const strings = useStrings();
  const text = calcText(calc, definition, strings);
  const reason = calc?.reason ? reasonText(calc.reason, fields, strings) : '—';
  return (
    <div className="col-span-full flex items-baseline justify-between gap-3 rounded-md border border-dashed border-line-strong bg-void px-3 py-1.5" title={calc?.formula ? strings.findings.formula(calc.formula) : undefined}>
      <span className="text-xs text-muted">
        {definition.label[strings.language]}
        <span className="ml-1.5 text-[10px]">{strings.findings.computed}</span>
      </span>
      <output title={calc?.reason ? strings.findings.notComputed(reason) : undefined} className={text === null ? 'text-xs text-muted' : 'text-right text-base font-semibold text-accent'}>{text ?? reason}</output>
    </div>
  );
}
