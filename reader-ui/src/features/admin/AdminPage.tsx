import type { ReactNode } from 'react';
import { useStrings } from '../../strings/language.tsx';
import { Empty, Waiting } from '../../ui/Waiting.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';

interface Props {
  title: string;
  why?: string;
  query: { isPending: boolean; error: unknown; refetch(): unknown };
  empty: boolean;
  table: ReactNode;
  form?: ReactNode;
}

/** A list with its form beside it. */
export function AdminPage({ title, why, query, empty, table, form }: Props) {
  const { common, admin } = useStrings();
  return (
    <main className="h-full overflow-y-auto">
      <div className="mx-auto max-w-6xl p-5">
        <h1 className="text-lg font-semibold">{title}</h1>
        {why && <p className="text-sm text-muted">{why}</p>}
        <div className={`mt-4 grid items-start gap-5 ${form ? 'lg:grid-cols-[minmax(0,1fr)_20rem]' : ''}`}>
          <div className="flex flex-col gap-3">
            <ProblemBanner error={query.error} retry={() => void query.refetch()} />
            {query.isPending ? <Waiting text={common.loading} /> : empty ? <Empty title={admin.empty} /> : table}
          </div>
          {form}
        </div>
      </div>
    </main>
  );
}
