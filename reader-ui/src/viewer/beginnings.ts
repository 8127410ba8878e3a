import type { FrameBeginning } from './frame-source.ts';

/**
 * What previews have brought of frames whose originals are still to come, so that it is not fetched again. Bounded: the
 * oldest are dropped, and their originals are then fetched whole.
 */
export class Beginnings {
  readonly #bytesMax: number;
  readonly #kept = new Map<string, FrameBeginning>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  keep(id: string, beginning: FrameBeginning): void {
    this.take(id);
    this.#kept.set(id, beginning);
    this.#bytes += beginning.bytes.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.take(oldest);
    }
  }

  /** Gives it away. */
  take(id: string): FrameBeginning | null {
    const beginning = this.#kept.get(id) ?? null;
    this.#kept.delete(id);
    this.#bytes -= beginning?.bytes.length ?? 0;
    return beginning;
  }

  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }
}
