import type { ButtonHTMLAttributes } from 'react';
import { classNames } from './class-names.ts';

type Kind = 'primary' | 'plain' | 'quiet' | 'danger';

const looks: Record<Kind, string> = {
  primary: 'bg-accent text-void font-semibold hover:bg-[#74cbd7] border-transparent',
  plain: 'bg-raised text-text hover:bg-hover border-line-strong',
  quiet: 'bg-transparent text-soft hover:bg-hover hover:text-text border-transparent',
  danger: 'bg-red-deep text-text hover:bg-[#77232a] border-[#8a2f36]',
};

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: Kind;
  small?: boolean;
}

export function Button({ kind = 'plain', small = false, className, type = 'button', ...rest }: Props) {
  const size = small ? 'px-2 py-0.5 text-xs min-h-6' : 'px-3 py-1.5 text-sm min-h-8';
  return (
    <button
      type={type}
      className={classNames(
        'inline-flex items-center justify-center gap-1.5 rounded-md border whitespace-nowrap transition-colors disabled:cursor-not-allowed disabled:opacity-45',
        looks[kind],
        size,
        className,
      )}
      {...rest}
    />
  );
}
