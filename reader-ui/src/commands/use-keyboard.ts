import { useEffect } from 'react';
import { currentActions } from './actions.ts';
import type { Command } from './command.ts';
import { commands } from './registry.ts';

/** The page's one key listener. */
export function useKeyboard(): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const command = commandFor(event);
      if (!command) return;
      event.preventDefault();
      command.run(currentActions());
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

type Key = Pick<KeyboardEvent, 'key' | 'isComposing' | 'ctrlKey' | 'metaKey' | 'altKey' | 'defaultPrevented' | 'target'>;

/**
 * The command a key stands for right now, or none: never while text is being typed or composed by an input method,
 * never while a dialog is open or the screen is locked, never with a modifier that belongs to the browser.
 */
export function commandFor(event: Key): Command | null {
  if (event.isComposing || event.key === 'Process' || event.defaultPrevented) return null;
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const target = event.target instanceof Element ? event.target : null;
  if (target?.closest('input, textarea, select, [contenteditable], dialog[open]') || document.querySelector('dialog[open], [inert]')) return null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ((key === 'Enter' || key === ' ') && target?.closest('button, a, [role="tab"], summary')) return null;
  const actions = currentActions();
  return commands.find((command) => command.keys.includes(key) && command.when(actions)) ?? null;
}
