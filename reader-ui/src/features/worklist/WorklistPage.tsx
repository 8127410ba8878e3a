import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useCallback, useMemo, useRef, useState } from 'react';
import { actOnRequest } from '../../api/client.ts';
import { keys, requestSearchQuery, requestsQuery } from '../../api/queries.ts';
import { useActions } from '../../commands/actions.ts';
import { timeOfDay } from '../../lib/dates.ts';
import { useSettled } from '../../lib/use-settled.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Button } from '../../ui/Button.tsx';
import { Choice } from '../../ui/Choice.tsx';
import { Empty, Waiting } from '../../ui/Waiting.tsx';
import { CriticalResultsPanel } from '../critical-result/CriticalResultsPanel.tsx';
import { useTemplates } from '../fields/templates.ts';
import { useLive } from '../live/live-context.ts';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { useSession } from '../session/session-context.ts';
import { byUrgencyAndWait } from './order.ts';
import { useStatAnnouncement } from './use-stat-announcement.ts';
import { useViewerReady } from './use-viewer-ready.ts';
import { WorklistRow } from './WorklistRow.tsx';

const tabs = ['open', 'reported', 'all'] as const;
type Tab = (typeof tabs)[number];
/** Longer than any name with an id. */
const searchCharsMax = 100;
/** A pause in typing that is long enough to search. */
const typingPauseMs = 250;

/** The reading worklist: live, most urgent and longest waiting first, usable by keyboard alone. */
export function WorklistPage() {
  const strings = useStrings();
  const { worklist } = strings;
  const { session } = useSession();
  const { user } = session;
  const { connected } = useLive();
  const { context } = useTemplates();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [state, setState] = useState<Tab>('open');
  const [mine, setMine] = useState(false);
  const [search, setSearch] = useState('');
  const [selectedId, setSelectedId] = useState<string | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const filter = useRef<HTMLInputElement>(null);
  const sought = useSettled(search.trim(), typingPauseMs);
  const whole = useQuery(requestsQuery(state));
  const found = useQuery({ ...requestSearchQuery(state, sought), enabled: sought !== '' });
  const { data, error, isPending, refetch, dataUpdatedAt } = sought === '' ? whole : found;
  const searching = search.trim() !== sought || (sought !== '' && found.isPlaceholderData);
  // What is urgent is told whatever is searched for.
  const announcement = useStatAnnouncement(state === 'open' ? whole.data?.items : undefined);

  const shown = useMemo(
    () => (data?.items ?? []).filter((item) => !mine || item.claim?.reader.id === user.id).toSorted(byUrgencyAndWait),
    [data, mine, user.id],
  );
  const selected = shown.find(({ id }) => id === selectedId) ?? shown[0];

  const open = useCallback((id: string) => void navigate({ to: '/reading/$requestId', params: { requestId: id } }), [navigate]);
  const claim = useCallback(
    (id: string) => {
      setProblem(null);
      actOnRequest(id, 'claim').then(
        (detail) => {
          queries.setQueryData(keys.request(id), detail);
          open(id);
        },
        (refusal: unknown) => {
          setProblem(refusal);
          void refetch();
        },
      );
    },
    [open, queries, refetch],
  );
  const actions = useMemo(
    () => ({
      move: (delta: number) => {
        const at = shown.findIndex((item) => item === selected);
        setSelectedId(shown[Math.min(Math.max(0, at + delta), shown.length - 1)]?.id ?? null);
      },
      open: () => selected && open(selected.id),
      claim: () => selected && claim(selected.id),
      focusFilter: () => filter.current?.focus(),
      hasSelection: selected !== undefined,
    }),
    [shown, selected, open, claim],
  );
  useActions('worklist', actions);
  useViewerReady();

  const states = tabs.map((code) => ({ code, label: worklist[code] }));
  return (
    <main className="flex h-full flex-col">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 border-b border-line px-4 py-2.5">
        <h1 className="text-lg font-semibold">{worklist.title}</h1>
        <Badge tone={sought === '' ? 'neutral' : 'accent'}>
          <span role="status">{searching ? worklist.searching : sought === '' ? worklist.count(shown.length) : worklist.found(shown.length)}</span>
        </Badge>
        <Choice label={strings.admin.state} options={states} value={state} onChange={(next) => next && setState(next as Tab)} />
        <label className="flex items-center gap-1.5 text-sm text-soft">
          <input type="checkbox" checked={mine} onChange={(event) => setMine(event.target.checked)} className="accent-[var(--color-accent)]" />
          {worklist.mine}
        </label>
        <input
          ref={filter}
          type="search"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
          onKeyDown={(event) => event.key === 'Escape' && !event.nativeEvent.isComposing && event.currentTarget.blur()}
          placeholder={`${worklist.searchPlaceholder}  ( / )`}
          aria-label={worklist.search}
          title={worklist.search}
          maxLength={searchCharsMax}
          autoComplete="off"
          spellCheck={false}
          className="field max-w-80"
        />
        <span className="ml-auto flex items-center gap-2 text-xs text-muted">
          {connected === false && <Badge tone="orange">{worklist.stale}</Badge>}
          {dataUpdatedAt > 0 && worklist.updated(timeOfDay(dataUpdatedAt, strings.language))}
        </span>
      </div>
      <p role="status" aria-live="assertive" className={announcement ? 'border-b border-[#8a2f36] bg-[#3a1216] px-4 py-1.5 text-sm text-[#ffd2d2]' : 'sr-only'}>
        {announcement}
      </p>
      <div className="flex flex-col gap-2 px-4 empty:hidden [&:has(*)]:py-2">
        <ProblemBanner error={problem} />
        <ProblemBanner error={error} retry={() => void refetch()} />
      </div>
      {session.permissions.includes('view_critical_results') && <CriticalResultsPanel />}
      <div className="min-h-0 flex-1 overflow-auto">
        {isPending && <Waiting text={strings.common.loading} />}
        {data && shown.length === 0 && !searching && <NothingShown state={state} sought={sought !== ''} mine={mine} onAll={() => setState('all')} onClear={() => setSearch('')} />}
        {shown.length > 0 && (
          <table className="w-full text-left text-sm">
            <thead className="sticky top-0 z-10 bg-ground text-xs text-muted shadow-[inset_0_-1px_0_var(--color-line)]">
              <tr>
                {[worklist.urgency, worklist.due, worklist.patient, worklist.site, worklist.study, worklist.arrival, worklist.reader].map((heading, index) => (
                  <th key={heading} scope="col" className={`px-3 py-2 font-normal whitespace-nowrap ${index === 0 ? 'pl-4' : ''}`}>
                    {heading}
                  </th>
                ))}
                <th scope="col">
                  <span className="sr-only">{worklist.openCase}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map((request) => (
                <WorklistRow
                  key={request.id}
                  request={request}
                  selected={request === selected}
                  ownId={user.id}
                  mayClaim={user.role === 'reader'}
                  context={context}
                  onSelect={setSelectedId}
                  onOpen={open}
                  onClaim={claim}
                />
              ))}
            </tbody>
          </table>
        )}
      </div>
    </main>
  );
}

interface NothingShownProps {
  state: Tab;
  sought: boolean;
  mine: boolean;
  onAll(): void;
  onClear(): void;
}

/** Why the list is empty, and what may fill it. */
function NothingShown({ state, sought, mine, onAll, onClear }: NothingShownProps) {
  const { worklist } = useStrings();
  if (!sought) return mine ? <Empty title={worklist.noMatch} /> : <Empty title={worklist.empty[state].title} why={worklist.empty[state].why} />;
  const ways = (
    <span className="mt-2 flex gap-2">
      {state !== 'all' && <Button onClick={onAll}>{worklist.notFound.all}</Button>}
      <Button onClick={onClear}>{worklist.clearSearch}</Button>
    </span>
  );
  return <Empty title={worklist.notFound.title} why={worklist.notFound.why} action={ways} />;
}
