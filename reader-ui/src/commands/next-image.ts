import type { Command } from './command.ts';

export const nextImage: Command = {
  id: 'next-image',
  group: 'viewer',
  label: (strings) => strings.commands.nextImage,
  keys: ['ArrowDown', 'ArrowRight'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.step(1),
};
