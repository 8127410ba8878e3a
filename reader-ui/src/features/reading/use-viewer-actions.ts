import { useMemo } from 'react';
import { useActions } from '../../commands/actions.ts';
import { openingWindow } from '../../viewer/opening-window.ts';
import type { StackViewerHandle } from '../../viewer/use-stack-viewer.ts';
import { windowPresets } from '../../viewer/windows.ts';

/** Puts the viewer under the keys. Presets in Hounsfield units do nothing on other modalities. */
export function useViewerActions({ viewer }: StackViewerHandle, pick: (() => void) | null): void {
  const actions = useMemo(
    () =>
      viewer
        ? {
            step: (delta: number) => viewer.step(delta),
            goTo: (index: number) => void viewer.goTo(index),
            goToEnd: () => void viewer.goTo(viewer.images.length - 1),
            preset: (id: string) => {
              const preset = windowPresets.find((one) => one.id === id);
              if (preset && viewer.getState().shown?.modality === 'CT') viewer.setWindow(preset);
            },
            autoWindow: () => viewer.setAutoWindow(),
            headerWindow: () => {
              const window = viewer.getState().shown?.headerWindow;
              if (window) viewer.setWindow(window);
            },
            invert: () => viewer.toggleInvert(),
            reset: () => viewer.reset(openingWindow(viewer.images)),
            zoom: (factor: number) => viewer.zoomBy(factor),
            tool: (name: 'window' | 'pan' | 'zoom' | 'length' | 'arrow') => void viewer.setTool(name),
            removeAnnotation: () => void viewer.removeAnnotation(),
            pick: () => pick?.(),
            canPick: pick !== null,
          }
        : undefined,
    [viewer, pick],
  );
  useActions('viewer', actions);
}
