import type { Command } from './command.ts';

export const lastImage: Command = {
  id: 'last-image',
  group: 'viewer',
  label: (strings) => strings.commands.lastImage,
  keys: ['End'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.goToEnd(),
};
