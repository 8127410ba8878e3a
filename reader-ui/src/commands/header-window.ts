import type { Command } from './command.ts';

export const headerWindow: Command = {
  id: 'header-window',
  group: 'window',
  label: (strings) => strings.commands.headerWindow,
  keys: ['6'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.headerWindow(),
};
