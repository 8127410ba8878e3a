import type { DisplayImage } from './images.ts';
import type { Window } from './windows.ts';
import { windowPresets } from './windows.ts';

/** The window a stack opens with: brain for CT, the header's for everything else. */
export function openingWindow(images: readonly DisplayImage[]): Window | null {
  const [first] = images;
  if (first?.modality === 'CT') return windowPresets[0] ?? null;
  return first?.headerWindow ?? null;
}
