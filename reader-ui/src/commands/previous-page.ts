import type { Command } from './command.ts';

export const previousPage: Command = {
  id: 'previous-page',
  group: 'viewer',
  label: (strings) => strings.commands.previousPage,
  keys: ['PageUp'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.step(-10),
};
