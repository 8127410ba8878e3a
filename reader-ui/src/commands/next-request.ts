import type { Command } from './command.ts';

export const nextRequest: Command = {
  id: 'next-request',
  group: 'worklist',
  label: (strings) => strings.commands.next,
  keys: ['ArrowDown', 'j'],
  when: ({ worklist }) => worklist !== undefined,
  run: ({ worklist }) => worklist?.move(1),
};
