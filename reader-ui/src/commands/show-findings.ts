import type { Command } from './command.ts';

export const showFindings: Command = {
  id: 'show-findings',
  group: 'reading',
  label: (strings) => strings.commands.showFindings,
  keys: ['f'],
  when: ({ reading }) => reading !== undefined,
  run: ({ reading }) => reading?.show('findings'),
};
