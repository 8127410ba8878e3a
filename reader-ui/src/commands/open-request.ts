import type { Command } from './command.ts';

export const openRequest: Command = {
  id: 'open-request',
  group: 'worklist',
  label: (strings) => strings.commands.open,
  keys: ['Enter', 'o'],
  when: ({ worklist }) => worklist?.hasSelection === true,
  run: ({ worklist }) => worklist?.open(),
};
