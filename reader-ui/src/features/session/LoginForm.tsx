import { zodResolver } from '@hookform/resolvers/zod';
import { useState } from 'react';
import { useForm } from 'react-hook-form';
import { z } from 'zod';
import { logIn } from '../../api/client.ts';
import type { Session } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { ProblemBanner } from './ProblemBanner.tsx';

const schema = z.object({ login: z.string().trim().min(1), password: z.string().min(1), network: z.string().trim().min(1) });
type Values = z.infer<typeof schema>;

interface Props {
  /** Set when a person comes back to an open page: then only the password is asked for. */
  fixedLogin?: string;
  submitLabel: string;
  onDone(session: Session): void;
}

export function LoginForm({ fixedLogin, submitLabel, onDone }: Props) {
  const strings = useStrings();
  const [problem, setProblem] = useState<unknown>(null);
  const form = useForm<Values>({
    resolver: zodResolver(schema),
    defaultValues: { login: fixedLogin ?? '', password: '', network: 'default' },
  });
  const { errors, isSubmitting } = form.formState;
  const submit = form.handleSubmit(async ({ login, password, network }) => {
    setProblem(null);
    try {
      onDone(await logIn(login, password, network));
    } catch (error) {
      setProblem(error);
      form.setValue('password', '');
      form.setFocus('password');
    }
  });
  return (
    <form onSubmit={submit} className="flex flex-col gap-4" noValidate>
      <ProblemBanner error={problem} />
      <Labelled label={strings.session.login} error={errors.login && strings.session.requiredLogin}>
        {(props) => (
          <input {...props} {...form.register('login')} readOnly={fixedLogin !== undefined} autoComplete="username" autoFocus={fixedLogin === undefined} spellCheck={false} className="field" />
        )}
      </Labelled>
      <Labelled label={strings.session.password} error={errors.password && strings.session.requiredPassword}>
        {(props) => (
          <input {...props} {...form.register('password')} type="password" autoComplete="current-password" autoFocus={fixedLogin !== undefined} className="field" />
        )}
      </Labelled>
      <details className="text-sm">
        <summary className="w-fit text-xs text-muted">{strings.session.network}</summary>
        <div className="pt-2">
          <input {...form.register('network')} aria-label={strings.session.network} spellCheck={false} className="field" />
        </div>
      </details>
      <Button kind="primary" type="submit" disabled={isSubmitting} className="mt-1 min-h-10">
        {isSubmitting ? strings.session.submitting : submitLabel}
      </Button>
    </form>
  );
}
