import { ViewerFailure } from './failure.ts';
import type { InstanceState } from './instance-state.ts';
import { isHigher } from './instance-state.ts';

/** Where decoded pictures come from. A preview has the size of the original, so that nothing moves when it is replaced. */
export interface ImageSource<Image> {
  preview(id: string): Promise<Image>;
  original(id: string): Promise<Image>;
}

/** Where the decoded picture of an id is kept. */
export interface ImageShelf<Image> {
  get(id: string): Image | undefined;
  /** Resolves when the new picture is the one that `get` gives. */
  replace(id: string, image: Image): Promise<unknown>;
}

/**
 * Which picture an image id stands for: the original when the relay has all of it, else its preview, else none.
 * A preview is known by the picture itself, never by the id: whoever holds one can ask what it is.
 */
export class ProgressiveImages<Image extends object> {
  readonly #source: ImageSource<Image>;
  readonly #shelf: ImageShelf<Image>;
  readonly #states = new Map<string, InstanceState>();
  readonly #previews = new WeakSet<Image>();
  /** Ids whose preview cannot be had or decoded: they wait for their original. */
  readonly #withoutPreview = new Set<string>();
  readonly #sharpening = new Map<string, Promise<boolean>>();

  constructor(source: ImageSource<Image>, shelf: ImageShelf<Image>) {
    this.#source = source;
    this.#shelf = shelf;
  }

  /** Says how far an id is at the relay; true when that is further than was known. */
  raise(id: string, state: InstanceState): boolean {
    const known = this.#states.get(id);
    if (known !== undefined && !isHigher(state, known)) return false;
    this.#states.set(id, state);
    return true;
  }

  /** What can be loaded now. */
  stateOf(id: string): InstanceState {
    const state = this.#states.get(id) ?? 'listed';
    return state === 'preview' && this.#withoutPreview.has(id) ? 'listed' : state;
  }

  isPreview(image: Image | undefined): boolean {
    return image !== undefined && this.#previews.has(image);
  }

  /** The best picture there is now. */
  async load(id: string): Promise<Image> {
    const state = this.stateOf(id);
    if (state === 'complete') return this.#source.original(id);
    if (state === 'listed') throw new ViewerFailure('not_arrived');
    try {
      const image = await this.#source.preview(id);
      this.#previews.add(image);
      return image;
    } catch (error) {
      if (error instanceof ViewerFailure && error.code !== 'not_arrived' && error.code !== 'decode_failed') throw error;
      this.#withoutPreview.add(id);
      return this.load(id);
    }
  }

  /** Whether the picture on the shelf is a preview whose original could be had. */
  canSharpen(id: string): boolean {
    return this.isPreview(this.#shelf.get(id)) && this.stateOf(id) === 'complete';
  }

  /** Puts the original in the place of a preview; false when there was nothing to replace. */
  sharpen(id: string): Promise<boolean> {
    const running = this.#sharpening.get(id);
    if (running) return running;
    if (!this.canSharpen(id)) return Promise.resolve(false);
    const replaced = this.#replace(id).finally(() => this.#sharpening.delete(id));
    this.#sharpening.set(id, replaced);
    return replaced;
  }

  async #replace(id: string): Promise<boolean> {
    const original = await this.#source.original(id);
    // Dropped from memory meanwhile: then the next load gives the original anyway.
    if (!this.isPreview(this.#shelf.get(id))) return false;
    await this.#shelf.replace(id, original);
    return true;
  }
}
