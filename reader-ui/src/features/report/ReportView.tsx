import type { ReadingRequestDetail, ReportVersion } from '../../api/types.ts';
import { fullDateTime } from '../../lib/dates.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge, criticalityTone } from '../../ui/Badge.tsx';
import { calcText } from '../fields/field-text.ts';
import { FieldFacts, safeLines } from '../fields/FieldFacts.tsx';
import { templateRef, useTemplates } from '../fields/templates.ts';
import { announcedText } from '../worklist/order.ts';
import { KeyImageFigure } from './KeyImageFigure.tsx';

/** One signed version, as the referring physician reads it: conclusion first, then why, then the images. */
export function ReportView({ request, version }: { request: ReadingRequestDetail; version: ReportVersion }) {
  const strings = useStrings();
  const { findings, report } = strings;
  const { body } = version;
  const images = version.images_at_signing;
  const texts = [
    [findings.impressionText, body.impression_text],
    [findings.recommendationText, body.recommendation_text],
  ] as const;
  return (
    <article className="flex flex-col gap-5">
      <header className="flex flex-wrap items-center gap-2">
        <h2 className="text-base font-semibold">
          {report.title} {strings.sign.version(version.version)}
        </h2>
        <Badge tone="green">{strings.code(version.status)}</Badge>
        {body.criticality && <Badge tone={criticalityTone(body.criticality)}>{strings.code(body.criticality)}</Badge>}
        <span className="ml-auto text-xs text-muted">
          {report.signedBy(version.reader.name, fullDateTime(version.signed_at_ms, strings.language))} / {report.imagesAtSigning(images.verified, announcedText(images.announced))}
          {images.withheld > 0 && ` / ${report.withheldAtSigning(images.withheld)}`}
        </span>
      </header>
      {version.text_of_addendum && (
        <section className="rounded-md border-l-4 border-orange bg-raised px-4 py-3">
          <h3 className="text-xs text-orange">{strings.code('addended')}</h3>
          <p className="text-[15px] whitespace-pre-wrap">{safeLines(version.text_of_addendum)}</p>
        </section>
      )}
      {texts.map(([label, text]) => (
        <ReportText key={label} label={label} text={text} />
      ))}
      <Dispositions version={version} />
      {body.key_images.length > 0 && (
        <section aria-label={findings.keyImages}>
          <h3 className="mb-1.5 text-xs text-muted">{findings.keyImages}</h3>
          <div className="grid grid-cols-[repeat(auto-fill,minmax(15rem,1fr))] gap-3">
            {body.key_images.map((image, index) => (
              <KeyImageFigure key={`${image.sop_instance_uid}/${image.frame}`} image={image} study={request.study.id ?? request.study.study_instance_uid} number={index + 1} />
            ))}
          </div>
        </section>
      )}
      <ReportText label={findings.findingsText} text={body.findings_text} />
      <Blocks version={version} />
    </article>
  );
}

function ReportText({ label, text }: { label: string; text: string }) {
  const strings = useStrings();
  return (
    <section>
      <h3 className="text-xs text-muted">{label}</h3>
      <p className="text-[15px] leading-relaxed whitespace-pre-wrap">{text ? safeLines(text) : strings.common.notEntered}</p>
    </section>
  );
}

function Dispositions({ version }: { version: ReportVersion }) {
  const { findings, language } = useStrings();
  const { dispositions } = useTemplates();
  return (
    <section aria-label={findings.disposition} className="flex flex-col gap-2">
      <h3 className="text-xs text-muted">{findings.disposition}</h3>
      {version.body.disposition.map(({ code, ...values }) => {
        const definition = dispositions.find(({ id }) => id === code);
        return (
          <div key={code} className="rounded-md border border-line bg-panel px-4 py-3">
            <h4 className="mb-1.5 font-semibold">{definition?.label[language] ?? code}</h4>
            <FieldFacts answeredOnly fields={definition?.group_fields ?? []} values={values} />
          </div>
        );
      })}
    </section>
  );
}

function Blocks({ version }: { version: ReportVersion }) {
  const strings = useStrings();
  const { language } = strings;
  const { findings } = useTemplates();
  return (
    <>
      {version.body.finding_blocks.map((block) => {
        const definition = findings.find((item) => templateRef(item) === block.template);
        const calc = version.evaluation.blocks.find(({ template }) => template === block.template)?.calc ?? {};
        if (!definition) return null;
        const scores = definition.fields.filter(({ type }) => type === 'calc').map((field) => [field, calcText(calc[field.id], field, strings)] as const);
        return (
          <details key={block.template} className="rounded-md border border-line bg-panel px-4 py-3">
            <summary className="text-sm">
              {strings.report.readerFindings}: {definition.title[language]}
            </summary>
            <div className="mt-3 flex flex-col gap-3">
              <FieldFacts answeredOnly fields={definition.fields} values={block.in} />
              <dl className="flex flex-wrap gap-x-6 gap-y-1 border-t border-line pt-2">
                {scores
                  .filter(([, text]) => text !== null)
                  .map(([field, text]) => (
                    <div key={field.id} className="text-sm">
                      <dt className="inline text-xs text-muted">{field.label[language]} </dt>
                      <dd className="inline font-semibold text-accent">{text}</dd>
                    </div>
                  ))}
              </dl>
            </div>
          </details>
        );
      })}
    </>
  );
}
