import type { Command } from './command.ts';

export const focusFilter: Command = {
  id: 'focus-filter',
  group: 'worklist',
  label: (strings) => strings.commands.filter,
  keys: ['/'],
  when: ({ worklist }) => worklist !== undefined,
  run: ({ worklist }) => worklist?.focusFilter(),
};
