import { zodResolver } from '@hookform/resolvers/zod';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useForm } from 'react-hook-form';
import { z } from 'zod';
import { addUser } from '../../api/client.ts';
import { sitesQuery, usersQuery } from '../../api/queries.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { Table } from '../../ui/Table.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { AdminPage } from './AdminPage.tsx';

const roles = ['technologist', 'referrer', 'reader', 'liaison', 'admin', 'auditor'] as const;
const passwordCharsMin = 12;
const schema = z.object({
  login: z.string().trim().min(1).max(64),
  name: z.string().trim().min(1).max(200),
  role: z.enum(roles),
  site: z.string().min(1),
  email: z.union([z.literal(''), z.email()]),
  password: z.string().min(passwordCharsMin),
});

export function Page() {
  const strings = useStrings();
  const { admin } = strings;
  const query = useQuery(usersQuery());
  const { data: sites } = useQuery(sitesQuery());
  const rows = (query.data?.items ?? []).map((user) => ({
    key: user.id,
    cells: [
      <span className="font-mono">{user.login}</span>,
      <bdi>{user.name}</bdi>,
      strings.code(user.role),
      <bdi>{sites?.items.find(({ id }) => id === user.site_id)?.name ?? ''}</bdi>,
      user.disabled_at_ms ? <Badge tone="orange">{admin.disabled}</Badge> : null,
    ],
  }));
  return (
    <AdminPage title={admin.users} query={query} empty={rows.length === 0} table={<Table headings={[admin.login, admin.personName, admin.role, admin.site, admin.state]} rows={rows} />} form={<UserForm />} />
  );
}

function UserForm() {
  const strings = useStrings();
  const { admin } = strings;
  const queries = useQueryClient();
  const { data: sites } = useQuery(sitesQuery());
  const [problem, setProblem] = useState<unknown>(null);
  const [created, setCreated] = useState(false);
  const form = useForm({ resolver: zodResolver(schema), defaultValues: { login: '', name: '', role: 'referrer' as const, site: '', email: '', password: '' } });
  const { errors, isSubmitting } = form.formState;
  const submit = form.handleSubmit(async ({ email, ...user }) => {
    setProblem(null);
    setCreated(false);
    try {
      await addUser({ ...user, ...(email ? { email } : {}) });
      form.reset();
      setCreated(true);
      await queries.invalidateQueries({ queryKey: ['users'] });
    } catch (error) {
      setProblem(error);
    }
  });
  return (
    <form onSubmit={submit} noValidate className="panel flex flex-col gap-3 p-4">
      <h2 className="text-sm font-semibold">{admin.addUser}</h2>
      <Labelled label={admin.login} error={errors.login && admin.needed}>
        {(props) => <input {...props} {...form.register('login')} autoComplete="off" spellCheck={false} className="field font-mono" />}
      </Labelled>
      <Labelled label={admin.personName} error={errors.name && admin.needed}>
        {(props) => <input {...props} {...form.register('name')} autoComplete="off" className="field" />}
      </Labelled>
      <Labelled label={admin.role}>
        {(props) => (
          <select {...props} {...form.register('role')} className="field">
            {roles.map((role) => (
              <option key={role} value={role}>
                {strings.code(role)}
              </option>
            ))}
          </select>
        )}
      </Labelled>
      <Labelled label={admin.site} error={errors.site && admin.needed}>
        {(props) => (
          <select {...props} {...form.register('site')} className="field">
            <option value="">{strings.common.choose}</option>
            {sites?.items.map((site) => (
              <option key={site.id} value={site.code}>
                {site.name}
              </option>
            ))}
          </select>
        )}
      </Labelled>
      <Labelled label={admin.email} error={errors.email && admin.needed}>
        {(props) => <input {...props} {...form.register('email')} type="email" autoComplete="off" className="field" />}
      </Labelled>
      <Labelled label={admin.password} error={errors.password && admin.passwordShort}>
        {(props) => <input {...props} {...form.register('password')} type="password" autoComplete="new-password" className="field" />}
      </Labelled>
      <ProblemBanner error={problem} />
      {created && <Banner tone="good">{admin.created}</Banner>}
      <Button kind="primary" type="submit" disabled={isSubmitting}>
        {strings.common.add}
      </Button>
    </form>
  );
}
