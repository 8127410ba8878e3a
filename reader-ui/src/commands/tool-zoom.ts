import type { Command } from './command.ts';

export const toolZoom: Command = {
  id: 'tool-zoom',
  group: 'viewer',
  label: (strings) => strings.commands.toolZoom,
  keys: ['z'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.tool('zoom'),
};
