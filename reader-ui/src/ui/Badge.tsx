import type { ReactNode } from 'react';
import { classNames } from './class-names.ts';

export type Tone = 'red' | 'orange' | 'yellow' | 'green' | 'accent' | 'neutral';

const tones: Record<Tone, string> = {
  red: 'bg-red-deep text-[#ffc9c9] border-[#8a2f36]',
  orange: 'bg-orange-deep text-[#ffd9ad] border-[#84561f]',
  yellow: 'bg-yellow-deep text-[#f3e59c] border-[#6f6320]',
  green: 'bg-green-deep text-[#b4ebd0] border-[#27664b]',
  accent: 'bg-[#0f3a42] text-[#b5e8ef] border-[#1d6370]',
  neutral: 'bg-raised text-soft border-line-strong',
};

interface Props {
  tone?: Tone;
  children: ReactNode;
  title?: string;
  /** A whole sentence, which takes a second line rather than the room of its neighbours. */
  sentence?: boolean;
}

/** A short fact. Its words carry the meaning; the colour only repeats it. */
export function Badge({ tone = 'neutral', children, title, sentence = false }: Props) {
  return (
    <span title={title} className={classNames('items-center rounded border px-1.5 py-px text-xs leading-5', sentence ? 'inline-block max-w-full' : 'inline-flex whitespace-nowrap', tones[tone])}>
      {children}
    </span>
  );
}

export function urgencyTone(urgency: string): Tone {
  if (urgency === 'stroke_code' || urgency === 'critical') return 'red';
  return urgency === 'urgent' ? 'yellow' : 'neutral';
}

export function criticalityTone(criticality: string | null): Tone {
  const tones: Record<string, Tone> = { crit_red: 'red', crit_orange: 'orange', crit_yellow: 'yellow' };
  return tones[criticality ?? ''] ?? 'neutral';
}
