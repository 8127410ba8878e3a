import { useId } from 'react';
import type { ReactNode } from 'react';

interface Props {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
  required?: string | undefined;
  children(props: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: boolean }): ReactNode;
}

/** A form control with its label, hint and error, tied together for screen readers. */
export function Labelled({ label, hint, error, required, children }: Props) {
  const id = useId();
  const noteId = `${id}-note`;
  const note = error ?? hint;
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="text-xs text-soft">
        {label}
        <RequiredMark text={required} />
      </label>
      {children({ id, ...(note ? { 'aria-describedby': noteId } : {}), ...(error ? { 'aria-invalid': true } : {}) })}
      {note && (
        <p id={noteId} role={error ? 'alert' : undefined} className={error ? 'text-xs text-red' : 'text-xs text-muted'}>
          {note}
        </p>
      )}
    </div>
  );
}

/** Says beside a label that the answer is required and not there yet. */
export function RequiredMark({ text }: { text: string | undefined }) {
  return text ? <span className="ml-1.5 text-orange">{text}</span> : null;
}
