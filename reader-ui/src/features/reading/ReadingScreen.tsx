import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Tabs } from 'radix-ui';
import { useCallback, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { startCall } from '../../api/client.ts';
import { keys } from '../../api/queries.ts';
import type { ReadingRequestDetail } from '../../api/types.ts';
import { useActions } from '../../commands/actions.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { useStackViewer } from '../../viewer/use-stack-viewer.ts';
import { CallPanel } from '../critical-result/CallPanel.tsx';
import { ownOpenCalls } from '../critical-result/call-facts.ts';
import { useConversations } from '../critical-result/use-conversations.ts';
import { ConflictDialog } from '../report/ConflictDialog.tsx';
import { DraftStatusLine } from '../report/DraftStatusLine.tsx';
import { FindingsPanel } from '../report/FindingsPanel.tsx';
import { SignPanel } from '../report/SignPanel.tsx';
import { useDraft } from '../report/use-draft.ts';
import { ReturnedNotice } from '../requests/ReturnedNotice.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { useSession } from '../session/session-context.ts';
import { DueClock } from '../worklist/DueClock.tsx';
import { withheldText } from '../worklist/arrival-facts.ts';
import { nextDue } from '../worklist/order.ts';
import { ClaimBar } from './ClaimBar.tsx';
import { ContextPanel } from './ContextPanel.tsx';
import { HistoryPanel } from './HistoryPanel.tsx';
import { LateImagesBanner } from './LateImagesBanner.tsx';
import { NotMine } from './NotMine.tsx';
import { PatientBanner } from './PatientBanner.tsx';
import { useForgetCase } from './use-forget-case.ts';
import { useHeartbeat } from './use-heartbeat.ts';
import { useViewerActions } from './use-viewer-actions.ts';
import { ViewerPane } from './ViewerPane.tsx';

const tabs = ['context', 'call', 'findings', 'sign', 'history'] as const;
type Tab = (typeof tabs)[number];

const tab =
  'flex-1 border-b-2 border-transparent px-1 py-2 text-sm whitespace-nowrap text-soft hover:text-text data-[state=active]:border-accent data-[state=active]:text-text data-[state=active]:font-semibold';

/** One case: patient above, images left, work right. */
export function ReadingScreen({ request, stale }: { request: ReadingRequestDetail; stale: unknown }) {
  const strings = useStrings();
  const { reading } = strings;
  const { user } = useSession().session;
  const navigate = useNavigate();
  const queries = useQueryClient();
  const handle = useStackViewer();
  const draft = useDraft(request.id, request.draft);
  const [shownTab, setShownTab] = useState<Tab>('context');
  const book = useConversations(request.id, shownTab);
  const conversations = useSyncExternalStore(book.subscribe, book.getStates);
  const [callProblem, setCallProblem] = useState<unknown>(null);
  const [notice, setNotice] = useState('');
  const mine = request.claim?.reader.id === user.id;
  const reader = user.role === 'reader';
  useHeartbeat(request.id, mine);

  useForgetCase(request.id, request.study.id);

  const withheld = withheldText(request.arrival, strings);

  const say = useCallback((text: string) => {
    setNotice(text);
    setTimeout(() => setNotice((now) => (now === text ? '' : now)), 2_500);
  }, []);

  const { viewer } = handle;
  const pick = useCallback(() => {
    const picked = viewer?.pick();
    if (!picked) return say(viewer?.getState().preview ? strings.viewer.previewNotPicked : strings.viewer.notPicked);
    draft.saver.update((body) => {
      const same = (image: { sop_instance_uid: string; frame: number }) => image.sop_instance_uid === picked.sop_instance_uid && image.frame === picked.frame;
      const old = body.key_images.find(same);
      return { ...body, key_images: [...body.key_images.filter((image) => !same(image)), { ...picked, caption: old?.caption ?? '' }] };
    });
    say(strings.viewer.picked);
  }, [viewer, draft.saver, say, strings]);

  const callCommand = useRef<string | null>(null);
  const beginCall = useCallback(() => {
    setShownTab('call');
    if (ownOpenCalls(request, user.id).length > 0 || callCommand.current) return;
    callCommand.current = crypto.randomUUID();
    setCallProblem(null);
    startCall(request.id, 'reader_to_referrer', 'other', callCommand.current)
      .then(
        () => queries.invalidateQueries({ queryKey: keys.request(request.id) }),
        (error: unknown) => setCallProblem(error),
      )
      .finally(() => {
        callCommand.current = null;
      });
  }, [request, user.id, queries]);

  useViewerActions(handle, mine ? pick : null);
  const actions = useMemo(
    () => ({
      startCall: beginCall,
      show: (next: 'context' | 'findings' | 'sign') => setShownTab(next),
      back: () => void navigate({ to: '/worklist' }),
      canWrite: mine,
    }),
    [beginCall, navigate, mine],
  );
  useActions('reading', actions);

  const showKeyImage = (index: number) => {
    const image = draft.state.body.key_images[index];
    if (image && viewer) void viewer.showPicked(image);
  };
  const currentImage = () => {
    const picked = viewer?.pick();
    return picked ? { series_instance_uid: picked.series_instance_uid, sop_instance_uid: picked.sop_instance_uid, frame: picked.frame, both_viewing: true } : null;
  };
  const mismatch = request.warnings.includes('patient_mismatch_held');
  const openCalls = ownOpenCalls(request, user.id).length;
  const panels: Record<Tab, React.JSX.Element> = {
    context: <ContextPanel request={request} />,
    call: <CallPanel request={request} book={book} disabled={!mine} problem={callProblem} onStart={beginCall} currentImage={currentImage} />,
    findings: <FindingsPanel request={request} draft={draft} disabled={!mine} onShowKeyImage={showKeyImage} />,
    sign: <SignPanel request={request} draft={draft} disabled={!mine} />,
    history: <HistoryPanel request={request} />,
  };
  return (
    <main className="flex h-full min-h-0 flex-col">
      <h1 className="sr-only">{reading.title}</h1>
      <PatientBanner request={request}>
        <DueClock due={nextDue(request)} />
        <ClaimBar request={request} mine={mine} canClaim={reader} />
      </PatientBanner>
      <div className="flex flex-col gap-1 px-3 [&:has(*)]:pt-2">
        <ProblemBanner error={stale} />
        <ReturnedNotice request={request} answer="none" />
        {mismatch && <Banner tone="danger">{reading.mismatchHeld(request.arrival.held)}</Banner>}
        {withheld && <Banner tone="danger">{withheld}</Banner>}
        <LateImagesBanner arrival={request.arrival} signed={request.warnings.includes('late_images')} />
      </div>
      <div className="flex min-h-0 flex-1">
        <ViewerPane request={request} handle={handle} onPick={mine ? pick : null} />
        <aside aria-label={reading.panel} className="flex w-[31rem] shrink-0 flex-col border-l border-line bg-panel">
          <Tabs.Root value={shownTab} onValueChange={(next) => setShownTab(next as Tab)} activationMode="manual" className="flex min-h-0 flex-1 flex-col">
            <Tabs.List aria-label={reading.panel} className="flex border-b border-line">
              {tabs.map((name) => (
                <Tabs.Trigger key={name} value={name} className={tab}>
                  {reading.tabs[name]}
                  {name === 'call' && openCalls > 0 && <span className="ml-1 inline-block size-2 rounded-full bg-accent" aria-hidden />}
                  {name === 'context' && request.missing_context.length > 0 && (
                    <span className="ml-1">
                      <Badge tone="orange">{request.missing_context.length}</Badge>
                    </span>
                  )}
                </Tabs.Trigger>
              ))}
            </Tabs.List>
            {reader && !mine && <NotMine request={request} />}
            {tabs.map((name) => (
              <Tabs.Content key={name} value={name} tabIndex={-1} className="min-h-0 flex-1 overflow-y-auto px-4 py-4">
                {panels[name]}
              </Tabs.Content>
            ))}
          </Tabs.Root>
          <div className="flex min-h-8 items-center justify-between gap-3 border-t border-line px-4">
            {mine && <DraftStatusLine draft={draft.state} conversations={conversations} />}
            <span role="status" className="text-xs text-accent">
              {notice}
            </span>
          </div>
        </aside>
      </div>
      <ConflictDialog draft={draft} />
    </main>
  );
}
