import type { Command } from './command.ts';

export const previousImage: Command = {
  id: 'previous-image',
  group: 'viewer',
  label: (strings) => strings.commands.previousImage,
  keys: ['ArrowUp', 'ArrowLeft'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.step(-1),
};
