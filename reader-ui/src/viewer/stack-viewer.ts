import { cache, Enums as CoreEnums, imageLoader, RenderingEngine } from '@cornerstonejs/core';
import type { Types } from '@cornerstonejs/core';
import {
  ArrowAnnotateTool,
  Enums as ToolEnums,
  LengthTool,
  PanTool,
  ToolGroupManager,
  WindowLevelTool,
  ZoomTool,
} from '@cornerstonejs/tools';
import { annotationsOn, arrowConfiguration, lengthConfiguration, removeAllAnnotations, removeSelectedAnnotation, restoreAnnotations, watchAnnotations } from './annotations.ts';
import type { StoredAnnotation } from './annotations.ts';
import { canSharpen, hasOriginal, isPreviewImage, raiseState, sharpen, startEngine, stateOf } from './engine.ts';
import type { ViewerFailureCode } from './failure.ts';
import { toFailureCode, ViewerFailure } from './failure.ts';
import type { DisplayImage } from './images.ts';
import type { InstanceState } from './instance-state.ts';
import type { LoadJob, Missing } from './load-order.ts';
import { nextJob } from './load-order.ts';
import { LoadPool } from './load-pool.ts';
import { percentileWindow } from './percentile.ts';
import type { Range, Window } from './windows.ts';
import { toRange, toWindow } from './windows.ts';

export type ViewerTool = 'window' | 'pan' | 'zoom' | 'length' | 'arrow';

/** What is on screen, in plain values. `shown` is the image whose pixels are drawn, never the one that was asked for. */
export interface ViewerState {
  count: number;
  index: number;
  shown: DisplayImage | null;
  /** Whether what is drawn is a low-resolution preview and not the original. */
  preview: boolean;
  /** Set while the wanted image is not the shown one; the picture is then marked as not current. */
  loading: boolean;
  failure: ViewerFailureCode | null;
  window: Window | null;
  inverted: boolean;
  zoomPercent: number | null;
  /** Originals in memory. */
  loadedCount: number;
  tool: ViewerTool;
  /** Whether lengths may be measured on the shown image: only on the original, and with a spacing in its header. */
  measurable: boolean;
  annotationCount: number;
}

/** A picked image, as the report keeps it. */
export interface PickedImage {
  sop_instance_uid: string;
  series_instance_uid: string;
  frame: number;
  /** Null when the window was not kept: then the picture is shown in its own. */
  window_center: number | null;
  window_width: number | null;
  annotations: StoredAnnotation[];
}

/** The methods of a viewport this page uses; the library calls the way to them temporary, so they are named once, here. */
interface Viewport {
  setStack(imageIds: string[], index: number): Promise<string>;
  setImageIdIndex(index: number): Promise<string>;
  setProperties(properties: { voiRange?: Range; invert?: boolean }): void;
  getProperties(): { voiRange?: Range; invert?: boolean };
  getZoom(): number;
  setZoom(zoom: number): void;
  getViewPresentation(): unknown;
  setViewPresentation(presentation: unknown): void;
  resetViewState(): boolean;
  getFrameOfReferenceUID(): string;
  resize(): void;
  render(): void;
}

const prefetchParallel = 4;
const toolNames: Record<ViewerTool, string> = {
  window: WindowLevelTool.toolName,
  pan: PanTool.toolName,
  zoom: ZoomTool.toolName,
  length: LengthTool.toolName,
  arrow: ArrowAnnotateTool.toolName,
};

export const emptyState: ViewerState = {
  count: 0,
  index: 0,
  shown: null,
  preview: false,
  loading: false,
  failure: null,
  window: null,
  inverted: false,
  zoomPercent: null,
  loadedCount: 0,
  tool: 'window',
  measurable: false,
  annotationCount: 0,
};

let made = 0;

/**
 * One stack on one element. It owns what the library gets wrong for reading: the reader's window survives scrolling and
 * a growing stack, a failed image hides the old picture instead of leaving it there, and the index shown is the index drawn.
 */
export class StackViewer {
  readonly #element: HTMLDivElement;
  readonly #changed: () => void;
  readonly #engine: RenderingEngine;
  readonly #groupId: string;
  readonly #viewportId: string;
  readonly #stop: (() => void)[] = [];
  #images: DisplayImage[] = [];
  /** How far each Instance is at the relay, by SOP Instance UID. */
  #states: ReadonlyMap<string, InstanceState> = new Map();
  #state = emptyState;
  #wanted = 0;
  #mounts = 0;
  readonly #pool = new LoadPool(
    prefetchParallel,
    (tried) => nextJob(this.#images, this.#wanted, (image) => this.#missing(image), tried),
    (job) => this.#fetch(job),
  );
  /** The stack the library has; while it is not the present one, an index means another image to it. */
  #mounted: readonly DisplayImage[] | null = null;
  /** What the present stack is opened with. */
  #entry: { window: Window | null; view: unknown } = { window: null, view: null };
  #destroyed = false;
  #fitZoom = 1;

  constructor(element: HTMLDivElement, changed: () => void) {
    startEngine();
    made += 1;
    this.#element = element;
    this.#changed = changed;
    this.#viewportId = `stack-${made}`;
    this.#groupId = `tools-${made}`;
    this.#engine = new RenderingEngine(`engine-${made}`);
    this.#engine.enableElement({ viewportId: this.#viewportId, element, type: CoreEnums.ViewportType.STACK });
    this.#makeTools();
    this.#listen();
  }

  /** Stable between changes, as React wants it. */
  readonly getState = (): ViewerState => this.#state;

  get images(): readonly DisplayImage[] {
    return this.#images;
  }

  /**
   * Shows a stack, or a longer form of the one on screen: then the image, the window and the view stay as they are.
   * Resolves when the first picture is drawn or refused.
   */
  async setImages(images: DisplayImage[], initialWindow: Window | null): Promise<void> {
    const same = this.#images.some(({ imageId }) => imageId === images[0]?.imageId || imageId === images.at(-1)?.imageId);
    const growing = same && this.#images.length > 0;
    if (growing && images.length === this.#images.length) return;
    const current = this.#images[this.#wanted];
    const keptIndex = growing && current ? images.findIndex(({ imageId }) => imageId === current.imageId) : -1;
    const window = growing ? this.#state.window : null;
    this.#images = images;
    this.#raiseStates();
    this.#entry = { window: window ?? initialWindow, view: growing ? this.#entry.view : null };
    const index = keptIndex >= 0 ? keptIndex : firstIndex(images, ({ imageId }) => stateOf(imageId) !== 'listed');
    this.#wanted = index;
    this.#publish({ count: images.length, loading: true, failure: null, ...(growing ? {} : { shown: null, window: null }) });
    if (images.length === 0) {
      this.#mounts += 1;
      this.#mounted = null;
      this.#publish({ loading: false });
      return;
    }
    this.#pool.forget();
    await this.#mount(index);
  }

  /**
   * Says how far each Instance is at the relay, by SOP Instance UID. An image that could not be shown yet is shown, a
   * preview gives way to its original.
   */
  setStates(states: ReadonlyMap<string, InstanceState>): void {
    this.#states = states;
    if (!this.#raiseStates()) return;
    const wanted = this.#images[this.#wanted];
    const arrived = this.#state.failure === 'not_arrived' && wanted !== undefined && stateOf(wanted.imageId) !== 'listed';
    if (arrived) void this.#show(this.#wanted);
    this.#sharpenWanted();
    this.#pool.wake();
  }

  /** Whether any image of the stack is further than was known. */
  #raiseStates(): boolean {
    return this.#images.filter((image) => raiseState(image, this.#states.get(image.sopInstanceUid) ?? 'listed')).length > 0;
  }

  /**
   * Gives the library the present stack, opened at an image. A later mount ends an earlier one, whose picture must never
   * be named: the same index may be another image in the longer stack.
   */
  async #mount(index: number): Promise<void> {
    const viewport = this.#viewport;
    const images = this.#images;
    const image = images[index];
    if (!viewport || !image) return;
    this.#mounts += 1;
    const mount = this.#mounts;
    const overtaken = () => this.#destroyed || mount !== this.#mounts;
    try {
      // Loaded first, so that between the library taking the stack and drawing its picture there is next to no time.
      await load(image).finally(() => {
        if (!overtaken()) this.#pool.wake();
      });
      if (overtaken()) return;
      // Not from a stack that is only half taken over: that view is the library's own.
      if (this.#mounted && this.#state.shown) this.#entry = { ...this.#entry, view: viewport.getViewPresentation() };
      this.#mounted = null;
      await viewport.setStack(images.map(({ imageId }) => imageId), index);
    } catch (error) {
      if (!overtaken() && this.#wanted === index) this.#refuse(index, toFailureCode(error));
      return;
    }
    if (overtaken()) return;
    this.#mounted = images;
    const { window, view } = this.#entry;
    if (view) viewport.setViewPresentation(view);
    else {
      viewport.resetViewState();
      this.#fitZoom = viewport.getZoom() || 1;
    }
    const chosen = window ?? image.headerWindow ?? this.#autoWindow(index);
    if (chosen) viewport.setProperties({ voiRange: toRange(chosen) });
    if (this.#state.inverted) viewport.setProperties({ invert: true });
    viewport.render();
    this.#publish({ window: chosen });
    this.#settle(index);
    // The reader has scrolled on meanwhile.
    if (this.#wanted !== index) await this.#show(this.#wanted);
  }

  /** Moves to an image; the picture on screen stays, marked as loading, until the new one is there or refused. */
  async goTo(index: number): Promise<void> {
    const target = Math.min(Math.max(0, index), this.#images.length - 1);
    if (target < 0 || (target === this.#wanted && !this.#state.failure)) return;
    this.#wanted = target;
    await this.#show(target);
  }

  async #show(target: number): Promise<void> {
    this.#publish({ index: target, loading: true, failure: null });
    const viewport = this.#viewport;
    const images = this.#images;
    const image = images[target];
    if (!viewport || !image) return;
    const overtaken = () => this.#destroyed || this.#wanted !== target || this.#images !== images;
    try {
      await load(image);
      // The reader has moved on while this one was loading, or the stack has grown and is being mounted anew.
      if (overtaken()) return;
      if (this.#mounted !== images) return await this.#mount(target);
      await viewport.setImageIdIndex(target);
      if (overtaken()) return;
      this.#keepWindow();
      viewport.render();
      this.#settle(target);
    } catch (error) {
      if (!overtaken()) this.#refuse(target, toFailureCode(error));
    }
  }

  step(delta: number): void {
    void this.goTo(this.#wanted + delta);
  }

  setWindow(window: Window): void {
    this.#entry = { ...this.#entry, window };
    this.#viewport?.setProperties({ voiRange: toRange(window) });
    this.#viewport?.render();
    this.#publish({ window });
  }

  /** Window from the values of the shown image: 1st to 99th percentile without the padding. */
  setAutoWindow(): void {
    const window = this.#autoWindow(this.#wanted);
    if (window) this.setWindow(window);
  }

  toggleInvert(): void {
    const inverted = !this.#state.inverted;
    this.#viewport?.setProperties({ invert: inverted });
    this.#viewport?.render();
    this.#publish({ inverted });
  }

  zoomBy(factor: number): void {
    const viewport = this.#viewport;
    if (!viewport) return;
    viewport.setZoom(viewport.getZoom() * factor);
    viewport.render();
    this.#readView();
  }

  /** Back to the whole image, upright, in the window the stack was opened with. */
  reset(window: Window | null): void {
    const viewport = this.#viewport;
    if (!viewport || !this.#state.shown) return;
    viewport.resetViewState();
    viewport.setProperties({ invert: false });
    this.#publish({ inverted: false });
    const chosen = window ?? this.#state.shown.headerWindow ?? this.#autoWindow(this.#wanted);
    if (chosen) this.setWindow(chosen);
    this.#readView();
  }

  /** Chooses what the left button does. Marks are refused, with false, on a preview, and lengths where there is no spacing to measure with. */
  setTool(tool: ViewerTool): boolean {
    if (!this.#allows(tool)) return false;
    const group = ToolGroupManager.getToolGroup(this.#groupId);
    for (const [name, toolName] of Object.entries(toolNames)) {
      if (name === tool) continue;
      // Marks on a preview can be seen, and not made, moved or changed.
      if (this.#state.preview && (name === 'length' || name === 'arrow')) group?.setToolEnabled(toolName);
      else group?.setToolPassive(toolName, { removeAllBindings: true });
    }
    const { Primary, Auxiliary, Secondary } = ToolEnums.MouseBindings;
    if (tool !== 'pan') group?.setToolActive(toolNames.pan, { bindings: [{ mouseButton: Auxiliary }] });
    if (tool !== 'zoom') group?.setToolActive(toolNames.zoom, { bindings: [{ mouseButton: Secondary }] });
    const own = { pan: Auxiliary, zoom: Secondary } as Partial<Record<ViewerTool, number>>;
    const extra = own[tool];
    const bindings = extra === undefined ? [{ mouseButton: Primary }] : [{ mouseButton: Primary }, { mouseButton: extra }];
    group?.setToolActive(toolNames[tool], { bindings });
    this.#publish({ tool });
    return true;
  }

  #allows(tool: ViewerTool): boolean {
    if (tool === 'length') return this.#state.measurable;
    return tool !== 'arrow' || !this.#state.preview;
  }

  removeAnnotation(): boolean {
    if (this.#state.preview) return false;
    const removed = removeSelectedAnnotation(this.#state.shown);
    this.#viewport?.render();
    return removed;
  }

  /** The shown image with its window and marks; null while nothing true is on screen, and for a preview. */
  pick(): PickedImage | null {
    const { shown, preview, window, loading, failure } = this.#state;
    if (!shown || preview || !window || loading || failure) return null;
    return {
      sop_instance_uid: shown.sopInstanceUid,
      series_instance_uid: shown.seriesInstanceUid,
      frame: shown.frame,
      window_center: round1(window.center),
      window_width: round1(window.width),
      annotations: annotationsOn(shown).map((mark) => roundMark(mark)),
    };
  }

  /** Shows a picked image again; false when it is not in this stack. */
  async showPicked(picked: PickedImage): Promise<boolean> {
    const index = this.#images.findIndex(
      ({ sopInstanceUid, frame }) => sopInstanceUid === picked.sop_instance_uid && frame === picked.frame,
    );
    const image = this.#images[index];
    if (!image) return false;
    await this.goTo(index);
    const { window_center: center, window_width: width } = picked;
    if (center !== null && width !== null) this.setWindow({ center, width });
    restoreAnnotations(image, picked.annotations, this.#viewport?.getFrameOfReferenceUID() ?? '');
    this.#viewport?.render();
    return true;
  }

  resize(): void {
    if (this.#destroyed) return;
    this.#engine.resize(true, true);
    // The engine misses a growing CPU canvas, whose picture would be stretched, and leaves a resized one empty.
    this.#viewport?.resize();
    this.#viewport?.render();
    this.#readView();
  }

  destroy(): void {
    this.#destroyed = true;
    this.#pool.stop();
    for (const stop of this.#stop) stop();
    removeAllAnnotations();
    ToolGroupManager.destroyToolGroup(this.#groupId);
    this.#engine.destroy();
    this.#images = [];
  }

  get #viewport(): Viewport | null {
    if (this.#destroyed) return null;
    return (this.#engine.getViewport(this.#viewportId) as unknown as Viewport | undefined) ?? null;
  }

  #makeTools(): void {
    const group = ToolGroupManager.createToolGroup(this.#groupId);
    if (!group) return;
    for (const tool of [WindowLevelTool, PanTool, ZoomTool]) group.addTool(tool.toolName);
    group.addTool(LengthTool.toolName, lengthConfiguration);
    group.addTool(ArrowAnnotateTool.toolName, arrowConfiguration);
    group.addViewport(this.#viewportId, this.#engine.id);
    this.setTool('window');
  }

  #listen(): void {
    const on = (name: string, handle: (event: Event) => void) => {
      this.#element.addEventListener(name, handle);
      this.#stop.push(() => this.#element.removeEventListener(name, handle));
    };
    // What the library draws from now on: the mark on the picture follows this, never what memory holds.
    on(CoreEnums.Events.STACK_NEW_IMAGE, (event) => {
      const { image } = (event as CustomEvent<{ image?: Types.IImage }>).detail;
      this.#publish({ preview: isPreviewImage(image) });
    });
    on(CoreEnums.Events.VOI_MODIFIED, () => this.#readWindow());
    on(CoreEnums.Events.CAMERA_MODIFIED, () => this.#readView());
    this.#stop.push(watchAnnotations(() => this.#readAnnotations()));
  }

  #settle(index: number): void {
    const shown = this.#images[index] ?? null;
    const measurable = shown?.spacing != null && !this.#state.preview;
    this.#publish({ index, shown, loading: false, failure: null, measurable, loadedCount: this.#countLoaded() });
    const marking = this.#state.tool === 'length' || this.#state.tool === 'arrow';
    this.setTool(marking && !this.#allows(this.#state.tool) ? 'window' : this.#state.tool);
    this.#readView();
    this.#readAnnotations();
    this.#sharpenWanted();
  }

  /** The original of the wanted image is fetched at once, past the queue, and drawn in the place of its preview. */
  #sharpenWanted(): void {
    const image = this.#images[this.#wanted];
    if (!image) return;
    const { imageId } = image;
    if (canSharpen(imageId)) void this.#fetch({ id: imageId, missing: 'original' }).catch(() => undefined);
    else if (hasOriginal(imageId)) void this.#redraw(imageId);
  }

  /** Draws the shown preview's original from memory, in the same view and window. */
  async #redraw(imageId: string): Promise<void> {
    const { preview, shown, loading, window } = this.#state;
    // While a stack is being mounted its picture is not settled; this is asked again when it is.
    if (this.#destroyed || !preview || loading || shown?.imageId !== imageId || !this.#mounted) return;
    this.#entry = { ...this.#entry, window };
    await this.#mount(this.#wanted);
  }

  #refuse(index: number, failure: ViewerFailureCode): void {
    this.#publish({ index, loading: false, failure, measurable: false });
  }

  #keepWindow(): void {
    const { window } = this.#state;
    if (window) this.#viewport?.setProperties({ voiRange: toRange(window) });
  }

  #readWindow(): void {
    const range = this.#viewport?.getProperties().voiRange;
    // While an image is being mounted the library announces its own default; ours is set right after.
    if (range && this.#state.shown && this.#mounted && !this.#state.loading) this.#publish({ window: toWindow(range) });
  }

  #readView(): void {
    const zoom = this.#viewport?.getZoom();
    if (zoom && this.#mounted) this.#publish({ zoomPercent: Math.round((zoom / this.#fitZoom) * 100) });
  }

  #readAnnotations(): void {
    const { shown } = this.#state;
    this.#publish({ annotationCount: shown ? annotationsOn(shown).length : 0 });
  }

  #autoWindow(index: number): Window | null {
    const image = this.#images[index];
    const loaded = image ? cache.getImage(image.imageId) : undefined;
    return loaded && !loaded.color ? percentileWindow(loaded.getPixelData()) : null;
  }

  #countLoaded(): number {
    return this.#images.reduce((count, { imageId }) => count + (hasOriginal(imageId) ? 1 : 0), 0);
  }

  #missing({ imageId, refused }: DisplayImage): Missing {
    if (canSharpen(imageId)) return 'original';
    return cache.getImageLoadObject(imageId) || refused || stateOf(imageId) === 'listed' ? null : 'picture';
  }

  async #fetch({ id, missing }: LoadJob): Promise<void> {
    if (missing === 'picture') await imageLoader.loadAndCacheImage(id);
    else if (await sharpen(id)) await this.#redraw(id);
    if (!this.#destroyed) this.#publish({ loadedCount: this.#countLoaded() });
  }

  #publish(patch: Partial<ViewerState>): void {
    if (this.#destroyed) return;
    this.#state = { ...this.#state, ...patch };
    this.#changed();
  }
}

/** What cannot be loaded is refused here: the library reports a failed load to nobody who could catch it. */
async function load({ imageId, refused }: DisplayImage): Promise<void> {
  if (refused) throw new ViewerFailure(refused);
  if (stateOf(imageId) === 'listed') throw new ViewerFailure('not_arrived');
  await imageLoader.loadAndCacheImage(imageId);
}

/** A head is entered in its middle, where the basal ganglia are; anything else at its start: where something is to be seen. */
function firstIndex(images: readonly DisplayImage[], isThere: (image: DisplayImage) => boolean): number {
  const best = images[0]?.modality === 'CT' || images[0]?.modality === 'MR' ? Math.floor(images.length / 2) : 0;
  const there = images.flatMap((image, index) => (isThere(image) ? [index] : []));
  return there.toSorted((a, b) => Math.abs(a - best) - Math.abs(b - best))[0] ?? best;
}

function roundMark(mark: StoredAnnotation): StoredAnnotation {
  const points = mark.points.map(([column, row]): [number, number] => [round1(column), round1(row)]);
  return mark.kind === 'length' ? { ...mark, points, mm: round1(mark.mm) } : { ...mark, points };
}

function round1(value: number): number {
  return Math.round(value * 10) / 10;
}
