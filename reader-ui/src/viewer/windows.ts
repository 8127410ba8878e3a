/** Window settings: the neuro presets, and the arithmetic between centre/width and the range a viewport wants. */
export interface Window {
  center: number;
  width: number;
}

export interface WindowPreset extends Window {
  id: 'brain' | 'subdural' | 'stroke' | 'stroke_narrow' | 'bone';
  key: string;
}

/** Hounsfield units; offered for CT only. */
export const windowPresets: readonly WindowPreset[] = [
  { id: 'brain', key: '1', width: 80, center: 40 },
  { id: 'subdural', key: '2', width: 200, center: 75 },
  { id: 'stroke', key: '3', width: 40, center: 40 },
  { id: 'stroke_narrow', key: '4', width: 8, center: 32 },
  { id: 'bone', key: '5', width: 2800, center: 600 },
];

export interface Range {
  lower: number;
  upper: number;
}

/** W80 L40 is 0 to 80: width and centre taken literally, as a reader says them. */
export function toRange({ center, width }: Window): Range {
  return { lower: center - width / 2, upper: center + width / 2 };
}

export function toWindow({ lower, upper }: Range): Window {
  return { center: (lower + upper) / 2, width: upper - lower };
}

/** Grey level 0 to 255 of a modality value in a window. */
export function greyLevel(value: number, { lower, upper }: Range): number {
  if (value <= lower) return 0;
  if (value >= upper) return 255;
  return Math.round(((value - lower) / (upper - lower)) * 255);
}
