import type { Command } from './command.ts';

export const lockScreen: Command = {
  id: 'lock-screen',
  group: 'page',
  label: (strings) => strings.commands.lock,
  keys: ['x'],
  when: ({ page }) => page !== undefined,
  run: ({ page }) => page?.lock(),
};
