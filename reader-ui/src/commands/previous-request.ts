import type { Command } from './command.ts';

export const previousRequest: Command = {
  id: 'previous-request',
  group: 'worklist',
  label: (strings) => strings.commands.previous,
  keys: ['ArrowUp'],
  when: ({ worklist }) => worklist !== undefined,
  run: ({ worklist }) => worklist?.move(-1),
};
