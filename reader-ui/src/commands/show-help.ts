import type { Command } from './command.ts';

export const showHelp: Command = {
  id: 'show-help',
  group: 'page',
  label: (strings) => strings.commands.help,
  keys: ['?'],
  when: ({ page }) => page !== undefined,
  run: ({ page }) => page?.help(),
};
