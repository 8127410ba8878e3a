import type { Command } from './command.ts';

export const toolArrow: Command = {
  id: 'tool-arrow',
  group: 'viewer',
  label: (strings) => strings.commands.toolArrow,
  keys: ['a'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.tool('arrow'),
};
