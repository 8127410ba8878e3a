import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import type { RefObject } from 'react';
import { forgetImages } from './engine.ts';
import type { ViewerState } from './stack-viewer.ts';
import { emptyState, StackViewer } from './stack-viewer.ts';

/** Pixels of a trackpad's scroll that make one image; a mouse wheel gives more than this per notch. */
const wheelPixelsPerImage = 40;

export interface StackViewerHandle {
  host: RefObject<HTMLDivElement | null>;
  viewer: StackViewer | null;
  state: ViewerState;
}

/** Ties a viewer to a component's life: made with it, gone with it, and every pixel of the case gone too. */
export function useStackViewer(): StackViewerHandle {
  const host = useRef<HTMLDivElement>(null);
  const [viewer, setViewer] = useState<StackViewer | null>(null);
  const listeners = useRef(new Set<() => void>());
  useEffect(() => {
    const parent = host.current;
    if (!parent) return undefined;
    const element = document.createElement('div');
    // The library makes its element position: relative, so that its size must come from width and height.
    element.className = 'size-full';
    parent.append(element);
    const made = new StackViewer(element, () => {
      for (const listener of listeners.current) listener();
    });
    // Focused, the library's element would swallow every key, Tab included.
    element.removeAttribute('tabindex');
    setViewer(made);
    const resized = new ResizeObserver(() => made.resize());
    resized.observe(parent);
    const stopWheel = scrollByWheel(element, (delta) => made.step(delta));
    return () => {
      stopWheel();
      resized.disconnect();
      made.destroy();
      element.remove();
      forgetImages();
      setViewer(null);
    };
  }, []);
  const subscribe = useCallback((listener: () => void) => {
    const set = listeners.current;
    set.add(listener);
    return () => set.delete(listener);
  }, []);
  const state = useSyncExternalStore(subscribe, () => viewer?.getState() ?? emptyState);
  return { host, viewer, state };
}

function scrollByWheel(element: HTMLElement, step: (delta: number) => void): () => void {
  let rest = 0;
  const turned = (event: WheelEvent) => {
    event.preventDefault();
    if (event.deltaMode !== WheelEvent.DOM_DELTA_PIXEL || Math.abs(event.deltaY) >= wheelPixelsPerImage) {
      rest = 0;
      step(Math.sign(event.deltaY));
      return;
    }
    rest += event.deltaY;
    const images = Math.trunc(rest / wheelPixelsPerImage);
    if (images === 0) return;
    rest -= images * wheelPixelsPerImage;
    step(images);
  };
  const noMenu = (event: Event) => event.preventDefault();
  element.addEventListener('wheel', turned, { passive: false });
  element.addEventListener('contextmenu', noMenu);
  return () => {
    element.removeEventListener('wheel', turned);
    element.removeEventListener('contextmenu', noMenu);
  };
}
