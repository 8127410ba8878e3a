import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { studyQuery } from '../../api/queries.ts';
import type { ReadingRequestSummary, Study, StudySeries } from '../../api/types.ts';
import { safeText } from '../../lib/safe-text.ts';
import { useStrings } from '../../strings/language.tsx';
import { Waiting } from '../../ui/Waiting.tsx';
import { toFailureCode } from '../../viewer/failure.ts';
import type { ViewerFailureCode } from '../../viewer/failure.ts';
import { loadSeries } from '../../viewer/series.ts';
import { openingWindow } from '../../viewer/opening-window.ts';
import type { StackViewerHandle } from '../../viewer/use-stack-viewer.ts';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
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
  const { data: study, error, refetch } = useQuery({ ...studyQuery(request.study.id ?? ''), enabled: request.study.id !== null });
  const [chosenUid, setChosenUid] = useState<string | null>(null);
  const [failure, setFailure] = useState<ViewerFailureCode | null>(null);
  const series = study?.series.find(({ series_instance_uid: uid }) => uid === chosenUid) ?? mainSeries(study);
  const verified = series?.instances.filter((instance) => instance.state === 'verified') ?? [];
  const seriesUid = series?.series_instance_uid ?? null;
  const verifiedKey = verified.map(({ sop_instance_uid: uid }) => uid).join();

  useEffect(() => {
    if (!viewer || !study || !seriesUid || verifiedKey === '') return undefined;
    let stale = false;
    const shown = new Set(verifiedKey.split(','));
    loadSeries(study.study_instance_uid, seriesUid).then(
      (images) => {
        if (stale) return;
        setFailure(null);
        const ready = images.filter(({ sopInstanceUid }) => shown.has(sopInstanceUid));
        void viewer.setImages(ready, openingWindow(ready));
      },
      (error: unknown) => !stale && setFailure(toFailureCode(error)),
    );
    return () => {
      stale = true;
    };
    // The list of verified instances is the one thing that makes a stack longer.
  }, [viewer, study?.study_instance_uid, seriesUid, verifiedKey]);

  return (
    <section aria-label={strings.viewer.label} className="flex min-h-0 min-w-0 flex-1 flex-col bg-void">
      <ViewerToolbar handle={handle} onPick={onPick} />
      {study && study.series.length > 1 && <SeriesTabs study={study} chosen={seriesUid} onChoose={setChosenUid} />}
      <div className="relative min-h-0 flex-1">
        <div ref={handle.host} className="absolute inset-0 overflow-hidden" />
        <ViewerOverlay state={state} viewer={viewer} series={series ?? null} arrival={study?.arrival ?? request.arrival} failure={failure} />
        {!study && !error && request.study.id !== null && <Waiting text={strings.common.loading} />}
        {error && (
          <div className="absolute inset-x-4 top-4">
            <ProblemBanner error={error} retry={() => void refetch()} />
          </div>
        )}
      </div>
    </section>
  );
}

/** The series with the most verified images: a scout or a dose page is never the one to open with. */
export function mainSeries(study: Study | undefined): StudySeries | undefined {
  const count = ({ instances }: StudySeries) => instances.reduce((sum, instance) => sum + (instance.state === 'verified' ? instance.number_of_frames : 0), 0);
  return study?.series.toSorted((a, b) => count(b) - count(a) || b.instances.length - a.instances.length)[0];
}

function SeriesTabs({ study, chosen, onChoose }: { study: Study; chosen: string | null; onChoose(uid: string): void }) {
  const strings = useStrings();
  return (
    <div role="group" aria-label={strings.viewer.series} className="flex gap-1 overflow-x-auto border-b border-line px-2 py-1">
      {study.series.map((series) => (
        <button
          key={series.series_instance_uid}
          type="button"
          aria-pressed={series.series_instance_uid === chosen}
          onClick={() => onChoose(series.series_instance_uid)}
          className="rounded px-2 py-1 text-xs whitespace-nowrap text-soft hover:bg-hover aria-pressed:bg-accent-deep aria-pressed:text-text"
        >
          {series.number ?? '–'} {series.modality} <bdi>{safeText(series.description ?? '')}</bdi>{' '}
          <span className="text-muted">{series.instances.filter((instance) => instance.state === 'verified').length}</span>
        </button>
      ))}
    </div>
  );
}
