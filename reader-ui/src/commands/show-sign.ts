import type { Command } from './command.ts';

export const showSign: Command = {
  id: 'show-sign',
  group: 'reading',
  label: (strings) => strings.commands.showSign,
  keys: ['s'],
  when: ({ reading }) => reading !== undefined,
  run: ({ reading }) => reading?.show('sign'),
};
