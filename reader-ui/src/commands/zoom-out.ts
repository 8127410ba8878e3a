import type { Command } from './command.ts';

export const zoomOut: Command = {
  id: 'zoom-out',
  group: 'viewer',
  label: (strings) => strings.commands.zoomOut,
  keys: ['-'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.zoom(0.8),
};
