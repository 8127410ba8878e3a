import type { Command } from './command.ts';

export const showContext: Command = {
  id: 'show-context',
  group: 'reading',
  label: (strings) => strings.commands.showContext,
  keys: ['g'],
  when: ({ reading }) => reading !== undefined,
  run: ({ reading }) => reading?.show('context'),
};
