import type { ReadingRequestDetail } from '../../api/types.ts';
import { safeText } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Fact } from '../../ui/Fact.tsx';
import { FieldFacts } from '../fields/FieldFacts.tsx';
import { missingLabels } from '../fields/missing.ts';
import { useTemplates } from '../fields/templates.ts';

/** What the requesting site told: the question first, then how to reach them, then the patient's state. */
export function ContextPanel({ request }: { request: ReadingRequestDetail }) {
  const strings = useStrings();
  const { reading } = strings;
  const { context } = useTemplates();
  const { clinical_context: values } = request;
  const question = values.clinical_question;
  const missing = missingLabels(request.missing_context, context, strings);
  return (
    <div className="flex flex-col gap-4">
      {typeof question === 'string' && question !== '' && <p className="rounded-md border-l-4 border-accent bg-raised px-3 py-2 text-[15px] leading-relaxed whitespace-pre-wrap">{question}</p>}
      {missing.length > 0 && (
        <Banner tone="warning">
          {reading.missingContext}: {strings.list(missing)}
        </Banner>
      )}
      <dl className="grid grid-cols-3 gap-3">
        <Fact label={reading.callbackNumber}>
          <bdi className={request.callback_number ? 'font-mono' : 'text-orange'}>{request.callback_number ?? strings.common.notEntered}</bdi>
        </Fact>
        <Fact label={reading.callbackPerson}>
          <bdi>{safeText(request.callback_person ?? strings.common.notEntered)}</bdi>
        </Fact>
        <Fact label={reading.responsible}>
          <bdi>{safeText(request.responsible_physician ?? strings.common.notEntered)}</bdi>
        </Fact>
      </dl>
      <FieldFacts answeredOnly fields={context.filter(({ id }) => id !== 'clinical_question')} values={values} />
    </div>
  );
}
