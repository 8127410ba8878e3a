import { useEffect, useId, useRef } from 'react';
import type { ReactNode } from 'react';
import { Button } from './Button.tsx';

interface Props {
  title: string;
  closeLabel: string;
  onClose(): void;
  children: ReactNode;
  wide?: boolean;
}

/**
 * The browser's own modal dialog: it traps focus, makes the page behind inert and closes on Escape.
 * Library dialogs lock scrolling through an injected style element, which the content security policy refuses.
 */
export function Dialog({ title, closeLabel, onClose, children, wide = false }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const headingId = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby={headingId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      className={`panel m-auto max-h-[88vh] w-full overflow-auto p-0 text-text shadow-2xl ${wide ? 'max-w-4xl' : 'max-w-xl'}`}
    >
      <div className="flex items-center justify-between border-b border-line px-5 py-3">
        <h2 id={headingId} className="text-base font-semibold">
          {title}
        </h2>
        <Button kind="quiet" small onClick={onClose}>
          {closeLabel}
        </Button>
      </div>
      <div className="px-5 py-4">{children}</div>
    </dialog>
  );
}
