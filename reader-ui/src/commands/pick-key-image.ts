import type { Command } from './command.ts';

export const pickKeyImage: Command = {
  id: 'pick-key-image',
  group: 'viewer',
  label: (strings) => strings.commands.pick,
  keys: ['k'],
  when: ({ viewer }) => viewer?.canPick === true,
  run: ({ viewer }) => viewer?.pick(),
};
