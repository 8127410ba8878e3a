import { useEffect, useRef } from 'react';
import { reportFocus } from '../../api/client.ts';
import { latestOnly } from '../../lib/latest-only.ts';
import type { DisplayImage } from '../../viewer/images.ts';

/** The relay passes it on to the sending site; more often would only fill the line that the images come on. */
const everyMs = 300;

/** Tells the relay where the reader looks, while the study still arrives. It is a hint: one that is lost costs time only. */
export function useFocusReport(studyId: string, image: DisplayImage | undefined, arriving: boolean): void {
  const report = useRef(
    latestOnly(everyMs, (study: string, series: string, instance: string) => void reportFocus(study, series, instance).catch(() => undefined)),
  );
  const series = image?.seriesInstanceUid;
  const instance = image?.sopInstanceUid;
  useEffect(() => {
    if (arriving && studyId && series && instance) report.current.call(studyId, series, instance);
  }, [arriving, studyId, series, instance]);
  useEffect(() => {
    const { current } = report;
    return () => current.cancel();
  }, []);
}
