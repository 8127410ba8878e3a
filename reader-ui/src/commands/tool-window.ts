import type { Command } from './command.ts';

export const toolWindow: Command = {
  id: 'tool-window',
  group: 'viewer',
  label: (strings) => strings.commands.toolWindow,
  keys: ['w'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.tool('window'),
};
