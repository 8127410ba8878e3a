import type { ReactNode } from 'react';

/** The drawn states of something that is not there: loading, empty, failed. */
export function Waiting({ text }: { text: string }) {
  return (
    <div role="status" className="flex items-center justify-center gap-3 px-6 py-16 text-muted">
      <span aria-hidden className="size-4 animate-spin rounded-full border-2 border-line-strong border-t-accent" />
      {text}
    </div>
  );
}

export function Empty({ title, why, action }: { title: string; why?: string; action?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-1.5 px-6 py-16 text-center">
      <p className="text-base text-soft">{title}</p>
      {why && <p className="text-sm text-muted">{why}</p>}
      {action}
    </div>
  );
}
