import type { FieldValues } from '../../api/types.ts';
import { FieldForm } from '../fields/FieldForm.tsx';
import { useTemplates } from '../fields/templates.ts';

/** The clinical context form, from the relay's definition. */
export function ContextFields({ values, onChange }: { values: FieldValues; onChange(values: FieldValues): void }) {
  const { context } = useTemplates();
  return <FieldForm fields={context} values={values} context={values} onChange={onChange} />;
}
