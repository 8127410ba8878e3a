import { useState } from 'react';
import type { FieldValues, FindingBlock, ReadingRequestDetail, ReportBody, TemplateDefinition } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Button } from '../../ui/Button.tsx';
import { Dialog } from '../../ui/Dialog.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { answered } from '../fields/field-text.ts';
import { FieldForm } from '../fields/FieldForm.tsx';
import { templateRef, useTemplates } from '../fields/templates.ts';
import { DispositionForm } from './DispositionForm.tsx';
import { KeyImageList } from './KeyImageList.tsx';
import type { DraftHandle } from './use-draft.ts';

interface Props {
  request: ReadingRequestDetail;
  draft: DraftHandle;
  disabled: boolean;
  onShowKeyImage(index: number): void;
}

const reportChoices = new Set(['image_quality', 'limits', 'criticality']);

/** The structured report: templates, conditions of reading, criticality, disposition, key images, texts. */
export function FindingsPanel({ request, draft, disabled, onShowKeyImage }: Props) {
  const strings = useStrings();
  const { findings, language } = strings;
  const templates = useTemplates();
  const { body, evaluation } = draft.state;
  const set = (patch: Partial<ReportBody>) => draft.saver.update((now) => ({ ...now, ...patch }));
  const setBlock = (template: string, values: FieldValues) =>
    set({ finding_blocks: body.finding_blocks.map((block) => (block.template === template ? { ...block, in: values } : block)) });
  const choices = templates.report.filter(({ id }) => reportChoices.has(id));
  const byId = (id: string) => choices.filter((field) => field.id === id);
  return (
    <div className="flex flex-col gap-5">
      <TemplateChoice templates={templates.findings} suggested={request.clinical_context.request_template} blocks={body.finding_blocks} disabled={disabled} onChange={(blocks) => set({ finding_blocks: blocks })} />
      {body.finding_blocks.map((block) => {
        const definition = templates.findings.find((item) => templateRef(item) === block.template);
        const evaluated = evaluation?.blocks.find(({ template }) => template === block.template);
        if (!definition) return null;
        return (
          <section key={block.template} aria-label={definition.title[language]} className="flex flex-col gap-3 rounded-md border border-line-strong p-3">
            <div className="flex items-center gap-2">
              <h3 className="text-sm font-semibold">{definition.title[language]}</h3>
              {evaluated && evaluated.problems.length > 0 && <Badge tone="orange">{findings.problems(evaluated.problems.length)}</Badge>}
              <Button small kind="quiet" className="ml-auto" disabled={disabled} onClick={() => set({ finding_blocks: body.finding_blocks.filter((other) => other !== block) })}>
                {findings.removeTemplate}
              </Button>
            </div>
            <FieldForm
              fields={definition.fields}
              allFields={[...definition.fields, ...templates.context]}
              values={block.in}
              context={request.clinical_context}
              calc={evaluated?.calc}
              problems={evaluated?.problems}
              disabled={disabled}
              onChange={(values) => setBlock(block.template, values)}
            />
          </section>
        );
      })}
      <KeyImageList images={body.key_images} disabled={disabled} onChange={(images) => set({ key_images: images })} onShow={onShowKeyImage} />
      <section aria-label={findings.criticality}>
        <FieldForm fields={byId('criticality')} values={{ criticality: body.criticality }} disabled={disabled} onChange={(values) => set({ criticality: (values.criticality ?? null) as ReportBody['criticality'] })} />
        <p className="mt-1 text-xs text-muted">{findings.criticalityHint}</p>
      </section>
      <DispositionForm chosen={body.disposition} definitions={templates.dispositions} disabled={disabled} onChange={(disposition) => set({ disposition })} />
      <Narrative body={body} narrative={evaluation?.narrative[language] ?? ''} disabled={disabled} onChange={set} />
      <section aria-label={findings.frame} className="flex flex-col gap-3">
        <FieldForm
          fields={choices.filter(({ id }) => id !== 'criticality')}
          values={{ image_quality: body.image_quality, limits: body.limits }}
          disabled={disabled}
          onChange={(values) => set({ image_quality: (values.image_quality ?? null) as string | null, limits: Array.isArray(values.limits) ? values.limits.map(String) : [] })}
        />
      </section>
    </div>
  );
}

interface ChoiceProps {
  templates: readonly TemplateDefinition[];
  suggested: unknown;
  blocks: readonly FindingBlock[];
  disabled: boolean;
  onChange(blocks: FindingBlock[]): void;
}

/** Adding a template that stands alone takes out the others, and the other way round; answers are not lost without a question. */
function TemplateChoice({ templates, suggested, blocks, disabled, onChange }: ChoiceProps) {
  const { findings, common, language, list } = useStrings();
  /** A choice that would lose answers waits for a yes. */
  const [asked, setAsked] = useState<{ kept: string; lost: string; replace(): void } | null>(null);
  const free = templates.filter((template) => !blocks.some((block) => block.template === templateRef(template)));
  const add = (template: TemplateDefinition) => {
    const alone = new Set(templates.filter(({ excludes_others }) => excludes_others).map(templateRef));
    const kept = template.excludes_others ? [] : blocks.filter((block) => !alone.has(block.template));
    const dropped = blocks.filter((block) => !kept.includes(block) && Object.keys(answered(block.in)).length > 0);
    const replace = () => onChange([...kept, { template: templateRef(template), in: {} }]);
    if (dropped.length === 0) return replace();
    const titles = dropped.map((block) => templates.find((one) => templateRef(one) === block.template)?.title[language] ?? block.template);
    setAsked({ kept: template.title[language], lost: list(titles), replace });
  };
  if (free.length === 0) return null;
  return (
    <div className="flex flex-wrap items-center gap-1.5">
      <span className="text-xs text-muted">{findings.addTemplate}</span>
      {free.map((template) => (
        <Button key={template.id} small kind={template.id === suggested && blocks.length === 0 ? 'primary' : 'plain'} disabled={disabled} onClick={() => add(template)}>
          + {template.title[language]}
        </Button>
      ))}
      {asked && (
        <Dialog title={findings.replaceTitle} closeLabel={common.cancel} onClose={() => setAsked(null)}>
          <p className="mb-4 text-sm">{findings.replaceWhy(asked.kept, asked.lost)}</p>
          <Button
            kind="danger"
            onClick={() => {
              asked.replace();
              setAsked(null);
            }}
          >
            {findings.replace(asked.kept, asked.lost)}
          </Button>
        </Dialog>
      )}
    </div>
  );
}

interface NarrativeProps {
  body: ReportBody;
  narrative: string;
  disabled: boolean;
  onChange(patch: Partial<ReportBody>): void;
}

function Narrative({ body, narrative, disabled, onChange }: NarrativeProps) {
  const { findings, common } = useStrings();
  const texts = [
    { id: 'findings_text', label: findings.findingsText, value: body.findings_text, rows: 5 },
    { id: 'impression_text', label: findings.impressionText, value: body.impression_text, rows: 3 },
    { id: 'recommendation_text', label: findings.recommendationText, value: body.recommendation_text, rows: 3 },
  ] as const;
  return (
    <div className="flex flex-col gap-3">
      {texts.map(({ id, label, value, rows }) => (
        <div key={id}>
          <Labelled label={label} required={value.trim() === '' ? common.required : undefined}>
            {(props) => <textarea {...props} rows={rows} value={value} disabled={disabled} onChange={(event) => onChange({ [id]: event.target.value })} className="field" />}
          </Labelled>
          {id === 'findings_text' && (
            <Button small className="mt-1.5" disabled={disabled || narrative === '' || narrative === value} onClick={() => onChange({ findings_text: narrative })}>
              {findings.useNarrative}
              {value.trim() !== '' && <span className="text-muted">({findings.narrativeReplaces})</span>}
            </Button>
          )}
        </div>
      ))}
    </div>
  );
}
