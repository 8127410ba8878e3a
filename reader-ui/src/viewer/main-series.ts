import type { StudySeries } from '../api/types.ts';

/** Objects without pictures, and reports: never what a case opens with. */
const notImages = new Set(['SR', 'KO', 'PR', 'DOC', 'SEG', 'REG', 'RTSTRUCT', 'RTPLAN']);

/** The series with the most images known, arrived or not: a scout or a dose page is never the one to open with. */
export function mainSeries(all: readonly StudySeries[]): StudySeries | undefined {
  const images = ({ modality, instances }: StudySeries) => (notImages.has(modality) ? 0 : instances.length);
  return all.toSorted((a, b) => images(b) - images(a) || (a.number ?? 0) - (b.number ?? 0))[0];
}
