import type { Command } from './command.ts';

export const invert: Command = {
  id: 'invert',
  group: 'window',
  label: (strings) => strings.commands.invert,
  keys: ['i'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.invert(),
};
