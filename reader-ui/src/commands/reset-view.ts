import type { Command } from './command.ts';

export const resetView: Command = {
  id: 'reset-view',
  group: 'viewer',
  label: (strings) => strings.commands.reset,
  keys: ['r'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.reset(),
};
