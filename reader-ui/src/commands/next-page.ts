import type { Command } from './command.ts';

export const nextPage: Command = {
  id: 'next-page',
  group: 'viewer',
  label: (strings) => strings.commands.nextPage,
  keys: ['PageDown'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.step(10),
};
