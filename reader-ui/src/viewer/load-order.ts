/** What is left to fetch of one image: nothing is had yet, or a preview waits for its original. */
export type Missing = 'picture' | 'original' | null;

export interface LoadJob {
  id: string;
  missing: 'picture' | 'original';
}

/**
 * The next thing to fetch: first something to look at for every image, then the originals, both nearest to the reader
 * first. A job that failed is not tried again in the same walk.
 */
export function nextJob<Image extends { imageId: string }>(
  images: readonly Image[],
  wanted: number,
  missing: (image: Image) => Missing,
  tried: ReadonlySet<string>,
): LoadJob | null {
  let best: LoadJob | null = null;
  let bestRank = Number.POSITIVE_INFINITY;
  images.forEach((image, index) => {
    const id = image.imageId;
    const what = missing(image);
    if (what === null || tried.has(jobKey({ id, missing: what }))) return;
    const rank = (what === 'original' ? images.length : 0) + Math.abs(index - wanted);
    if (rank >= bestRank) return;
    best = { id, missing: what };
    bestRank = rank;
  });
  return best;
}

export function jobKey({ id, missing }: LoadJob): string {
  return `${missing} ${id}`;
}
