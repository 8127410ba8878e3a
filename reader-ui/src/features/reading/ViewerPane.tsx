import { useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Problem } from '../../api/http.ts';
import { studyInstancesQuery } from '../../api/queries.ts';
import type { ReadingRequestSummary, StudyInstance, StudySeries } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { HeaderText } from '../../ui/HeaderText.tsx';
import type { ViewerFailureCode } from '../../viewer/failure.ts';
import { toFailureCode } from '../../viewer/failure.ts';
import { mainSeries } from '../../viewer/main-series.ts';
import { openingWindow } from '../../viewer/opening-window.ts';
import { loadArrivingSeries } from '../../viewer/series.ts';
import { stackGaps } from '../../viewer/stack-gaps.ts';
import type { StackViewerHandle } from '../../viewer/use-stack-viewer.ts';
import { isArriving } from '../worklist/arrival-facts.ts';
import { useSession } from '../session/session-context.ts';
import { GapNote } from './GapNote.tsx';
import { useFocusReport } from './use-focus-report.ts';
import { ViewerOverlay } from './ViewerOverlay.tsx';
import { ohifAddress, ViewerToolbar } from './ViewerToolbar.tsx';

interface Props {
  request: ReadingRequestSummary;
  handle: StackViewerHandle;
  onPick: (() => void) | null;
}

/** The images of one study: the series to choose from, the stack, and what must be said about it. */
export function ViewerPane({ request, handle, onPick }: Props) {
  const strings = useStrings();
  const { session } = useSession();
  const { viewer, state } = handle;
  const studyId = request.study.id ?? '';
  const { data, error, isPending } = useQuery(studyInstancesQuery(studyId));
  const [chosenUid, setChosenUid] = useState<string | null>(null);
  const [failure, setFailure] = useState<ViewerFailureCode | null>(null);
  // Once a series is on screen it stays, even when another one grows past it.
  const [openedUid, setOpenedUid] = useState<string | null>(null);
  const wantedUid = chosenUid ?? openedUid;
  const all = data?.series ?? [];
  const series = all.find(({ series_instance_uid: uid }) => uid === wantedUid) ?? mainSeries(all);
  const seriesUid = series?.series_instance_uid ?? null;
  const listed = series?.instances.length ?? 0;
  const instances = useRef<readonly StudyInstance[]>([]);
  useEffect(() => {
    instances.current = series?.instances ?? [];
  }, [series]);
  const states = useMemo(() => new Map(series?.instances.map(({ sop_instance_uid: uid, state: how }) => [uid, how])), [series]);
  // Its images are there to be looked at: from now on it is the one on screen.
  const visible = series?.instances.some(({ state: how }) => how !== 'listed') ?? false;
  useEffect(() => {
    if (visible && seriesUid) setOpenedUid(seriesUid);
  }, [visible, seriesUid]);

  const asked = useRef({ key: '', order: 0, shown: -1 });
  const current = viewer?.images[state.index];
  useFocusReport(studyId, current, isArriving(request.arrival));

  useEffect(() => {
    if (!viewer || !studyId || !seriesUid || listed === 0) return;
    const key = `${studyId}/${seriesUid}`;
    const { order } = asked.current;
    asked.current = { key, order: order + 1, shown: asked.current.key === key ? asked.current.shown : order };
    // While a series is growing every answer is shown, unless a later one was faster.
    const isOld = () => asked.current.key !== key || asked.current.shown > order;
    const counts = new Map(instances.current.map(({ sop_instance_uid: uid, number_of_frames: frames }) => [uid, frames]));
    loadArrivingSeries(studyId, seriesUid, counts).then(
      (images) => {
        if (isOld()) return;
        asked.current.shown = order;
        setFailure(null);
        void viewer.setImages(images, openingWindow(images));
      },
      (problem: unknown) => !isOld() && setFailure(toFailureCode(problem)),
    );
    // One more listed instance makes the stack longer.
  }, [viewer, studyId, seriesUid, listed]);

  // Before the images too: what can be shown decides where the stack is entered.
  useEffect(() => viewer?.setStates(states), [viewer, states]);

  const hasFrames = series?.instances.some(({ number_of_frames: frames }) => frames > 0) ?? false;
  const opening = isPending || (hasFrames && state.count === 0);
  const images = viewer?.images;
  const gaps = useMemo(() => stackGaps(images ?? []), [images]);

  return (
    <section aria-label={strings.viewer.label} className="flex min-h-0 min-w-0 flex-1 flex-col bg-void">
      <ViewerToolbar handle={handle} onPick={onPick} ohif={ohifAddress(session, request.study)} />
      {all.length > 1 && <SeriesTabs all={all} chosen={seriesUid} onChoose={setChosenUid} />}
      {!isArriving(request.arrival) && (
        <div className="px-2 [&:has(*)]:py-1">
          <GapNote gaps={gaps} />
        </div>
      )}
      <div className="relative min-h-0 flex-1">
        <div ref={handle.host} className="absolute inset-0 overflow-hidden" />
        <ViewerOverlay state={state} viewer={viewer} series={series ?? null} opening={opening} arrival={request.arrival} failure={error ? failureOf(error) : failure} />
      </div>
    </section>
  );
}

function failureOf(error: Error): ViewerFailureCode {
  if (!(error instanceof Problem)) return toFailureCode(error);
  if (error.status === 401) return 'session_ended';
  if (error.status === 404) return 'not_found';
  return error.status === 0 ? 'network' : 'relay_error';
}

function SeriesTabs({ all, chosen, onChoose }: { all: readonly StudySeries[]; chosen: string | null; onChoose(uid: string): void }) {
  const strings = useStrings();
  return (
    <div role="group" aria-label={strings.viewer.series} className="flex gap-1 overflow-x-auto border-b border-line px-2 py-1">
      {all.map((series) => (
        <button
          key={series.series_instance_uid}
          type="button"
          aria-pressed={series.series_instance_uid === chosen}
          onClick={() => onChoose(series.series_instance_uid)}
          className="rounded px-2 py-1 text-xs whitespace-nowrap text-soft hover:bg-hover aria-pressed:bg-accent-deep aria-pressed:text-text"
        >
          {series.number ?? '–'} {series.modality} <HeaderText text={series.description} uncertain={series.description_uncertain} /> <span className="text-muted">{series.instances.length}</span>
        </button>
      ))}
    </div>
  );
}
