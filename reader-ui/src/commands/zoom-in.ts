import type { Command } from './command.ts';

export const zoomIn: Command = {
  id: 'zoom-in',
  group: 'viewer',
  label: (strings) => strings.commands.zoomIn,
  keys: ['+', ';'],
  when: ({ viewer }) => viewer !== undefined,
  run: ({ viewer }) => viewer?.zoom(1.25),
};
