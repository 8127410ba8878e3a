import { useQuery } from '@tanstack/react-query';
import { templatesQuery } from '../../api/queries.ts';
import type { FieldDefinition, TemplateDefinition } from '../../api/types.ts';

/** The definitions the relay gives out, sorted by what they are for. */
export interface Templates {
  findings: TemplateDefinition[];
  context: FieldDefinition[];
  /** The parts of the context a doctor tells on the phone, so that a change since the request can be seen. */
  stateTold: FieldDefinition[];
  report: FieldDefinition[];
  dispositions: FieldDefinition[];
}

const toldOnThePhone = new Set([
  'jcs',
  'jcs_modifiers',
  'gcs_e',
  'gcs_v',
  'gcs_m',
  'pupil_right_size_mm',
  'pupil_right_light_reflex',
  'pupil_left_size_mm',
  'pupil_left_light_reflex',
  'sbp',
  'dbp',
  'hr',
  'rr',
  'spo2',
  'temp',
  'nihss_total',
  'deficits',
  'onset_kind',
  'onset_dt',
  'lkw_dt',
  'antithrombotics',
  'labs',
]);

export function sortTemplates(items: readonly TemplateDefinition[]): Templates {
  const fieldsOf = (id: string) => items.find((item) => item.id === id)?.fields ?? [];
  const context = fieldsOf('ctx');
  return {
    findings: items.filter(({ id, kind }) => (kind ? kind === 'finding' : !['ctx', 'rpt', 'disposition', 'mass'].includes(id))),
    context,
    stateTold: context.filter(({ id }) => toldOnThePhone.has(id)).map((field): FieldDefinition => ({ ...field, required: 'optional', condition: null })),
    report: fieldsOf('rpt'),
    dispositions: fieldsOf('disposition'),
  };
}

const none = sortTemplates([]);

export function useTemplates(): Templates {
  const { data } = useQuery({ ...templatesQuery(), select: ({ items }) => sortTemplates(items) });
  return data ?? none;
}

/** `ich@1.0.0`, as a finding block names its template. */
export function templateRef({ id, version }: TemplateDefinition): string {
  return `${id}@${version}`;
}
