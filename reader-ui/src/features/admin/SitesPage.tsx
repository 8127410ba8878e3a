import { zodResolver } from '@hookform/resolvers/zod';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useForm } from 'react-hook-form';
import { z } from 'zod';
import { addSite } from '../../api/client.ts';
import { sitesQuery } from '../../api/queries.ts';
import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { Table } from '../../ui/Table.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { AdminPage } from './AdminPage.tsx';

const kinds = ['requesting', 'reading', 'both'] as const;
const schema = z.object({ code: z.string().trim().min(1).max(32), name: z.string().trim().min(1).max(200), kind: z.enum(kinds), phone: z.string().trim().max(40) });

export function Page() {
  const strings = useStrings();
  const { admin } = strings;
  const query = useQuery(sitesQuery());
  const rows = (query.data?.items ?? []).map(({ id, code, name, kind }) => ({
    key: id,
    cells: [<span className="font-mono">{code}</span>, <bdi>{name}</bdi>, strings.code(kind)],
  }));
  return <AdminPage title={admin.sites} query={query} empty={rows.length === 0} table={<Table headings={[admin.code, admin.name, admin.kind]} rows={rows} />} form={<SiteForm />} />;
}

function SiteForm() {
  const strings = useStrings();
  const { admin } = strings;
  const queries = useQueryClient();
  const [problem, setProblem] = useState<unknown>(null);
  const [created, setCreated] = useState(false);
  const form = useForm({ resolver: zodResolver(schema), defaultValues: { code: '', name: '', kind: 'requesting' as const, phone: '' } });
  const { errors, isSubmitting } = form.formState;
  const submit = form.handleSubmit(async ({ phone, ...site }) => {
    setProblem(null);
    setCreated(false);
    try {
      await addSite({ ...site, ...(phone ? { phone } : {}) });
      form.reset();
      setCreated(true);
      await queries.invalidateQueries({ queryKey: ['sites'] });
    } catch (error) {
      setProblem(error);
    }
  });
  return (
    <form onSubmit={submit} noValidate className="panel flex flex-col gap-3 p-4">
      <h2 className="text-sm font-semibold">{admin.addSite}</h2>
      <Labelled label={admin.code} error={errors.code && admin.needed}>
        {(props) => <input {...props} {...form.register('code')} autoComplete="off" spellCheck={false} className="field font-mono" />}
      </Labelled>
      <Labelled label={admin.name} error={errors.name && admin.needed}>
        {(props) => <input {...props} {...form.register('name')} autoComplete="off" className="field" />}
      </Labelled>
      <Labelled label={admin.kind}>
        {(props) => (
          <select {...props} {...form.register('kind')} className="field">
            {kinds.map((kind) => (
              <option key={kind} value={kind}>
                {strings.code(kind)}
              </option>
            ))}
          </select>
        )}
      </Labelled>
      <Labelled label={admin.phone}>{(props) => <input {...props} {...form.register('phone')} inputMode="tel" autoComplete="off" className="field" />}</Labelled>
      <ProblemBanner error={problem} />
      {created && <Banner tone="good">{admin.created}</Banner>}
      <Button kind="primary" type="submit" disabled={isSubmitting}>
        {strings.common.add}
      </Button>
    </form>
  );
}
