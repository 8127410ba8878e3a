import type { Command } from './command.ts';

export const toolPan: Command = {
  id: 'tool-pan',
  group: 'viewer',
  label: (strings) => strings.commands.toolPan,
  keys: ['h'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.tool('pan'),
};
