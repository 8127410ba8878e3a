import type { Command } from './command.ts';

export const backToList: Command = {
  id: 'back-to-list',
  group: 'reading',
  label: (strings) => strings.commands.backToList,
  keys: ['q'],
  when: ({ reading }) => reading !== undefined,
  run: ({ reading }) => reading?.back(),
};
