import type { Command } from './command.ts';

export const toolLength: Command = {
  id: 'tool-length',
  group: 'viewer',
  label: (strings) => strings.commands.toolLength,
  keys: ['l'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.tool('length'),
};
