import type { Command } from './command.ts';

export const firstImage: Command = {
  id: 'first-image',
  group: 'viewer',
  label: (strings) => strings.commands.firstImage,
  keys: ['Home'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.goTo(0),
};
