import type { Command } from './command.ts';

export const autoWindow: Command = {
  id: 'auto-window',
  group: 'window',
  label: (strings) => strings.commands.autoWindow,
  keys: ['0'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.autoWindow(),
};
