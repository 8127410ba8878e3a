import type { ReactNode } from 'react';
import { classNames } from './class-names.ts';

type Tone = 'danger' | 'warning' | 'info' | 'good';

const looks: Record<Tone, string> = {
  danger: 'border-[#8a2f36] bg-[#3a1216] text-[#ffd2d2]',
  warning: 'border-[#84561f] bg-[#36220b] text-[#ffe0bb]',
  info: 'border-line-strong bg-raised text-soft',
  good: 'border-[#27664b] bg-[#0f2c20] text-[#c4f0db]',
};

const marks: Record<Tone, string> = { danger: '!', warning: '!', info: 'i', good: '✓' };

/** A sentence about the state of the page. `danger` and `warning` are read out at once. */
export function Banner({ tone, children, action }: { tone: Tone; children: ReactNode; action?: ReactNode }) {
  return (
    <div
      role={tone === 'danger' || tone === 'warning' ? 'alert' : 'status'}
      className={classNames('flex items-start gap-2.5 rounded-md border px-3 py-2 text-sm', looks[tone])}
    >
      <span aria-hidden className="mt-px inline-flex size-5 shrink-0 items-center justify-center rounded-full border border-current text-xs font-bold">
        {marks[tone]}
      </span>
      <div className="min-w-0 flex-1">{children}</div>
      {action}
    </div>
  );
}
