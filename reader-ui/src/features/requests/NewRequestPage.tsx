import { zodResolver } from '@hookform/resolvers/zod';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Controller, useForm, useWatch } from 'react-hook-form';
import { z } from 'zod';
import { createReadingRequest } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import type { FieldValues } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { Choice } from '../../ui/Choice.tsx';
import { Labelled, RequiredMark } from '../../ui/Labelled.tsx';
import { answered } from '../fields/field-text.ts';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { useSession } from '../session/session-context.ts';
import { ContextFields } from './ContextFields.tsx';
import { StudyChoice } from './StudyChoice.tsx';

const urgencies = ['stroke_code', 'critical', 'urgent', 'routine', 'elective'] as const;

/** A request without a number to phone back cannot be sent. */
export const newRequestSchema = z.object({
  study_instance_uid: z
    .string()
    .trim()
    .regex(/^[0-9]+(?:\.[0-9]+)+$/)
    .max(64),
  urgency: z.enum(urgencies),
  callback_number: z.string().trim().regex(/^\+?[0-9０-９][0-9０-９\-ー ()（）#]{4,}$/),
  callback_person: z.string().trim().min(1),
  responsible_physician: z.string().trim().min(1),
});

type Values = z.infer<typeof newRequestSchema>;

export function Page() {
  const strings = useStrings();
  const { requests, reading, admin } = strings;
  const { user } = useSession().session;
  const queries = useQueryClient();
  const [context, setContext] = useState<FieldValues>({});
  const [problem, setProblem] = useState<unknown>(null);
  const [done, setDone] = useState<string | null>(null);
  const [commandId, setCommandId] = useState(() => crypto.randomUUID());
  const person = user.role === 'referrer' ? user.name : '';
  const form = useForm<Values>({
    resolver: zodResolver(newRequestSchema),
    defaultValues: { study_instance_uid: '', callback_number: '', callback_person: person, responsible_physician: person },
  });
  const { errors, isSubmitting } = form.formState;
  const values = useWatch({ control: form.control });
  const missing = (name: keyof Values) => (values[name]?.trim() ? undefined : strings.common.required);
  const submit = form.handleSubmit(async (values) => {
    setProblem(null);
    try {
      const detail = await createReadingRequest({ ...values, clinical_context: answered(context) }, commandId);
      setDone(detail.case_code);
      setCommandId(crypto.randomUUID());
      form.reset();
      setContext({});
      void queries.invalidateQueries({ queryKey: keys.requests });
    } catch (error) {
      setProblem(error);
    }
  });
  return (
    <main className="h-full overflow-y-auto">
      <form onSubmit={submit} noValidate className="mx-auto flex max-w-3xl flex-col gap-5 p-6">
        <h1 className="text-lg font-semibold">{requests.newTitle}</h1>
        {done && <Banner tone="good">{requests.submitted(done)}</Banner>}
        <Controller
          control={form.control}
          name="study_instance_uid"
          render={({ field }) => <StudyChoice value={field.value} required={missing('study_instance_uid')} error={errors.study_instance_uid && requests.uidInvalid} onChange={field.onChange} />}
        />
        <div>
          <div className="mb-1 text-xs text-soft">
            {strings.worklist.urgency}
            <RequiredMark text={missing('urgency')} /> {errors.urgency && <span className="text-red">{admin.needed}</span>}
          </div>
          <Controller
            control={form.control}
            name="urgency"
            render={({ field }) => (
              <Choice label={strings.worklist.urgency} options={urgencies.map((code) => ({ code, label: strings.code(code) }))} value={field.value ?? null} onChange={(next) => field.onChange(next ?? undefined)} />
            )}
          />
        </div>
        <div className="grid grid-cols-3 gap-3">
          <Labelled label={reading.callbackNumber} required={missing('callback_number')} error={errors.callback_number && requests.callbackRequired}>
            {(props) => <input {...props} {...form.register('callback_number')} inputMode="tel" autoComplete="off" className="field" />}
          </Labelled>
          <Labelled label={reading.callbackPerson} required={missing('callback_person')} error={errors.callback_person && admin.needed}>
            {(props) => <input {...props} {...form.register('callback_person')} autoComplete="off" className="field" />}
          </Labelled>
          <Labelled label={reading.responsible} required={missing('responsible_physician')} error={errors.responsible_physician && admin.needed}>
            {(props) => <input {...props} {...form.register('responsible_physician')} autoComplete="off" className="field" />}
          </Labelled>
        </div>
        <h2 className="border-b border-line pb-1 text-sm font-semibold text-accent">{requests.contextTitle}</h2>
        <ContextFields values={context} onChange={setContext} />
        <ProblemBanner error={problem} />
        <Button kind="primary" type="submit" disabled={isSubmitting} className="min-h-10 w-fit">
          {requests.submit}
        </Button>
      </form>
    </main>
  );
}
