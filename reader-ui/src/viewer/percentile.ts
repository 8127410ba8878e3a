import type { Window } from './windows.ts';
import { toWindow } from './windows.ts';

const histogramSamplesMax = 65_536;

/** A window from the values themselves: 1st to 99th percentile of what is not padding; null when they say nothing. */
export function percentileWindow(pixels: ArrayLike<number>): Window | null {
  const stride = Math.max(1, Math.floor(pixels.length / histogramSamplesMax));
  const samples: number[] = [];
  for (let at = 0; at < pixels.length; at += stride) samples.push(pixels[at] ?? 0);
  samples.sort((a, b) => a - b);
  const padding = samples[0] ?? 0;
  const inside = samples.filter((value) => value > padding);
  const lower = inside[Math.floor(inside.length * 0.01)];
  const upper = inside[Math.floor(inside.length * 0.99)];
  if (lower === undefined || upper === undefined || upper <= lower) return null;
  return toWindow({ lower, upper });
}
