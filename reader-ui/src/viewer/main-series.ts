import type { SeriesSummary } from './series.ts';

/** Objects without pictures, and reports: never what a case opens with. */
const notImages = new Set(['SR', 'KO', 'PR', 'DOC', 'SEG', 'REG', 'RTSTRUCT', 'RTPLAN']);

/** The series with the most verified images: a scout or a dose page is never the one to open with. */
export function mainSeries(all: readonly SeriesSummary[]): SeriesSummary | undefined {
  const images = ({ modality, verified }: SeriesSummary) => (notImages.has(modality) ? 0 : verified);
  return all.toSorted((a, b) => images(b) - images(a) || (a.number ?? 0) - (b.number ?? 0))[0];
}
