import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { keys } from '../../api/queries.ts';
import type { ReadingRequestSummary } from '../../api/types.ts';
import { safeText } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import type { ViewerFailureCode } from '../../viewer/failure.ts';
import { toFailureCode } from '../../viewer/failure.ts';
import { mainSeries } from '../../viewer/main-series.ts';
import { openingWindow } from '../../viewer/opening-window.ts';
import type { SeriesSummary } from '../../viewer/series.ts';
import { listSeries, loadSeries } from '../../viewer/series.ts';
import type { StackViewerHandle } from '../../viewer/use-stack-viewer.ts';
import { ViewerOverlay } from './ViewerOverlay.tsx';
import { ViewerToolbar } from './ViewerToolbar.tsx';

interface Props {
  request: ReadingRequestSummary;
  handle: StackViewerHandle;
  onPick: (() => void) | null;
}

/** The images of one study: the series to choose from, the stack, and what must be said about it. */
export function ViewerPane({ request, handle, onPick }: Props) {
  const strings = useStrings();
  const { viewer, state } = handle;
  const studyId = request.study.id ?? '';
  const { data, error } = useQuery({ queryKey: keys.study(studyId), queryFn: () => listSeries(studyId), enabled: studyId !== '' });
  const [chosenUid, setChosenUid] = useState<string | null>(null);
  const [failure, setFailure] = useState<ViewerFailureCode | null>(null);
  // Once a series is on screen it stays, even when another one grows past it.
  const [openedUid, setOpenedUid] = useState<string | null>(null);
  const wantedUid = chosenUid ?? openedUid;
  const series = data?.find(({ seriesInstanceUid: uid }) => uid === wantedUid) ?? mainSeries(data ?? []);
  const seriesUid = series?.seriesInstanceUid ?? null;
  const verified = series?.verified ?? 0;

  useEffect(() => {
    if (!viewer || !studyId || !seriesUid || verified === 0) return undefined;
    let stale = false;
    setOpenedUid(seriesUid);
    loadSeries(studyId, seriesUid).then(
      (images) => {
        if (stale) return;
        setFailure(null);
        void viewer.setImages(images, openingWindow(images));
      },
      (problem: unknown) => !stale && setFailure(toFailureCode(problem)),
    );
    return () => {
      stale = true;
    };
    // One more verified instance makes the stack longer.
  }, [viewer, studyId, seriesUid, verified]);

  return (
    <section aria-label={strings.viewer.label} className="flex min-h-0 min-w-0 flex-1 flex-col bg-void">
      <ViewerToolbar handle={handle} onPick={onPick} />
      {data && data.length > 1 && <SeriesTabs all={data} chosen={seriesUid} onChoose={setChosenUid} />}
      <div className="relative min-h-0 flex-1">
        <div ref={handle.host} className="absolute inset-0 overflow-hidden" />
        <ViewerOverlay state={state} viewer={viewer} series={series ?? null} arrival={request.arrival} failure={error ? toFailureCode(error) : failure} />
      </div>
    </section>
  );
}

function SeriesTabs({ all, chosen, onChoose }: { all: readonly SeriesSummary[]; chosen: string | null; onChoose(uid: string): void }) {
  const strings = useStrings();
  return (
    <div role="group" aria-label={strings.viewer.series} className="flex gap-1 overflow-x-auto border-b border-line px-2 py-1">
      {all.map((series) => (
        <button
          key={series.seriesInstanceUid}
          type="button"
          aria-pressed={series.seriesInstanceUid === chosen}
          onClick={() => onChoose(series.seriesInstanceUid)}
          className="rounded px-2 py-1 text-xs whitespace-nowrap text-soft hover:bg-hover aria-pressed:bg-accent-deep aria-pressed:text-text"
        >
          {series.number ?? '–'} {series.modality} <bdi>{safeText(series.description)}</bdi> <span className="text-muted">{series.verified}</span>
        </button>
      ))}
    </div>
  );
}
